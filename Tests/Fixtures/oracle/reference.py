"""A SANA-Sprint checkpoint run by the stock diffusers and transformers classes.

The models are unmodified. What SanaSprintPipeline.__call__ does between them is written out here, because a trace
needs every value in between; dump_trace.py checks the result against that call.
"""
import inspect
import math
import os
import warnings

import torch
from torch.overrides import TorchFunctionMode

os.environ.setdefault("HF_HUB_OFFLINE", "1")
warnings.filterwarnings("ignore", category=FutureWarning)

from diffusers import AutoencoderDC, SanaSprintPipeline, SanaTransformer2DModel, SCMScheduler  # noqa: E402
from transformers import AutoTokenizer, Gemma2Model  # noqa: E402
import diffusers.utils.logging  # noqa: E402
import transformers.utils.logging  # noqa: E402

diffusers.utils.logging.disable_progress_bar()
transformers.utils.logging.disable_progress_bar()

DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16}
TEXT_LENGTH = 300  # max_sequence_length of the pipeline
GUIDANCE = 4.5
DEMO_PROMPT = "a large red circle on a blue background"
PAPER_4 = [math.atan(400), 1.3, 1.1, 0.6, 0.0]  # SANA-Sprint, Table 7
INSTRUCTION = inspect.signature(SanaSprintPipeline.__call__).parameters["complex_human_instruction"].default


class Widened(TorchFunctionMode):
    """Turns every request for float32 into one for float64.

    Norms, softmax, rotary and time embeddings and the linear attention cast to float32 inside the libraries; a
    float64 reference that kept those casts would be no better than float32.
    """

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is torch.Tensor.float:
            return args[0].double()
        widen = lambda value: torch.float64 if value is torch.float32 else value
        return function(*map(widen, args), **{name: widen(value) for name, value in (kwargs or {}).items()})


class Reference:
    """The models of one checkpoint in one arithmetic, with the pipeline's steps between them."""

    def __init__(self, folder, dtype=torch.float32, variant=None):
        # Stored weights are read as float32 (exact for every 16-bit type) and widened afterwards.
        load = torch.float32 if dtype is torch.float64 else dtype
        self.dtype = dtype
        self.sampling = torch.float64 if dtype is torch.float64 else torch.float32  # never below float32
        self.tokenizer = AutoTokenizer.from_pretrained(folder, subfolder="tokenizer")
        self.tokenizer.padding_side = "right"
        # Eager is the only attention of transformers that applies Gemma-2's soft cap.
        self.text = Gemma2Model.from_pretrained(folder, subfolder="text_encoder", dtype=load, variant=variant,
                                                attn_implementation="eager").eval()
        part = dict(torch_dtype=load, variant=variant, low_cpu_mem_usage=False)
        self.transformer = SanaTransformer2DModel.from_pretrained(folder, subfolder="transformer", **part).eval()
        self.vae = AutoencoderDC.from_pretrained(folder, subfolder="vae", **part).eval()
        self.scheduler = SCMScheduler.from_pretrained(folder, subfolder="scheduler")
        self.sigma = self.scheduler.config.sigma_data
        # One halving per stage of the autoencoder but the last.
        self.ratio = 2 ** (len(self.vae.config.encoder_block_out_channels) - 1)
        if dtype is torch.float64:
            self._widen()

    def _widen(self):
        for model in (self.text, self.transformer, self.vae):
            model.double()
        # Two buffers were computed in float32 when the model was built.
        rotary, config = self.text.rotary_emb, self.text.config
        if rotary.rope_type != "default":
            raise SystemExit(f"float64: rotary embedding {rotary.rope_type!r} is not supported, only 'default'")
        exponent = torch.arange(0, config.head_dim, 2, dtype=torch.float64) / config.head_dim
        rotary.inv_freq = 1.0 / config.rope_parameters["rope_theta"] ** exponent
        self.text.embed_tokens.embed_scale = torch.tensor(config.hidden_size ** 0.5, dtype=torch.float64)

    def pipeline(self):
        pipe = SanaSprintPipeline(tokenizer=self.tokenizer, text_encoder=self.text, vae=self.vae,
                                  transformer=self.transformer, scheduler=self.scheduler)
        pipe.set_progress_bar_config(disable=True)
        return pipe

    def size(self, height=None, width=None):
        default = self.transformer.config.sample_size * self.ratio
        return height or default, width or default

    def latent_shape(self, height, width):
        return 1, self.transformer.config.in_channels, height // self.ratio, width // self.ratio

    def tokens(self, prompt, instruct=True):
        """Padded ids and mask, as SanaSprintPipeline.encode_prompt makes them."""
        text, length = prompt.lower().strip(), TEXT_LENGTH
        if instruct:
            instruction = "\n".join(INSTRUCTION)
            # The 2: BOS is counted twice, and the instruction's last space melts into the prompt's first word.
            text, length = instruction + text, len(self.tokenizer.encode(instruction)) + TEXT_LENGTH - 2
        batch = self.tokenizer([text], padding="max_length", max_length=length, truncation=True, return_tensors="pt")
        return batch.input_ids, batch.attention_mask

    def encode(self, ids, mask):
        """Prompt features and mask of the kept positions: the first, and the last 299."""
        kept = [0, *range(1 - TEXT_LENGTH, 0)]
        return self.text(ids, attention_mask=mask)[0][:, kept], mask[:, kept]

    def times(self, steps, custom=None):
        """TrigFlow times, steps + 1 values that end in 0."""
        if custom:
            # The stock pipeline cannot pass a list on (its helper raises a TypeError); the scheduler takes one.
            grid = dict(timesteps=custom, max_timesteps=None, intermediate_timesteps=None)
        else:
            grid = pipeline_grid(steps)
        self.scheduler.set_timesteps(steps, **grid)
        return self.scheduler.timesteps.to(self.sampling)

    def guidance(self, scale):
        return torch.full([1], scale, dtype=torch.float32).to(self.dtype) * self.transformer.config.guidance_embeds_scale

    def velocity(self, x, tau, features, mask, guidance):
        return self.transformer(x.to(self.dtype), encoder_hidden_states=features, encoder_attention_mask=mask,
                                guidance=guidance, timestep=tau, return_dict=False)[0]

    def sample(self, features, mask, times, start, noises, guidance, probe=lambda name, value: None, at_step=lambda index: None):
        """Runs the sampler; gives the last estimate of the clean latents, unit variance."""
        latents = start.to(self.sampling) * self.sigma
        for index, time in enumerate(times[:-1]):
            at_step(index)
            tau = (torch.sin(time) / (torch.cos(time) + torch.sin(time))).expand(1)
            t = tau.view(-1, 1, 1, 1)
            norm = torch.sqrt(t ** 2 + (1 - t) ** 2)
            x = latents / self.sigma * norm
            velocity = self.velocity(x, tau, features, mask, guidance)
            trig = ((1 - 2 * t) * x + (1 - 2 * t + 2 * t ** 2) * velocity) / norm
            denoised = torch.cos(time) * latents - torch.sin(time) * (trig.to(self.sampling) * self.sigma)
            # Noise is drawn, and added with weight sin 0, after the last step too.
            noise = noises[index].to(self.sampling) * self.sigma
            latents = torch.cos(times[index + 1]) * denoised + torch.sin(times[index + 1]) * noise
            for name, value in (("input", x), ("timestep", tau), ("output", velocity), ("denoised", denoised), ("latents", latents)):
                probe(f"dit.step{index}.{name}", value)
            probe(f"input.noise.{index}", noises[index])
        return denoised / self.sigma

    def decode(self, latents, probe=lambda name, value: None):
        """Picture (1, 3, height, width), not clamped."""
        z = latents.to(self.dtype) / self.vae.config.scaling_factor
        probe("vae.dec.input", z)
        return self.vae.decode(z, return_dict=False)[0]


def pipeline_grid(steps):
    """The keyword arguments SanaSprintPipeline wants: an intermediate time is legal for two steps only."""
    return dict(max_timesteps=1.57080, intermediate_timesteps=1.3 if steps == 2 else None)


def draw_noise(seed, shape, steps):
    """Start noise and the noise after every step, in the order and dtype in which the pipeline draws them."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator), [torch.randn(shape, generator=generator) for _ in range(steps)]


def eight_bit(image):
    """The picture as the pipeline stores it, (height, width, 3) uint8."""
    return ((image / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)[0].permute(1, 2, 0).contiguous()
