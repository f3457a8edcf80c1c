// For any CPU.
#define TABLE operations_plain
#include "operations.h"
