// A libcuda.so.1 without a GPU: README.md. Loaded, never linked; its calls have the driver's names and are declared where they are defined.
#pragma once
