#!/usr/bin/env python3
"""Small models before distillation, and what they compute: SANA-1.5 by the TrigFlow transformation, SANA of 2K by stock diffusers' SanaPipeline.

    make_teachers.py OUT

Each is a transformer and a scheduler over the fixture `mini`, whose other parts they share. The transformation (SANA-Sprint, proposition 3.1) is
written out in float64 over the stock transformer in float64; the Euler steps are those of SanaPipeline itself, in float32.
"""
import argparse
import pathlib
import shutil

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, SanaPipeline, SanaTransformer2DModel
from dump_trace import Trace
from fixture_json import write_json
from make_checkpoint import build, gaussian
from presets import TRANSFORMER
from reference import Reference, Widened, draw_noise, eight_bit

MINI = pathlib.Path(__file__).resolve().parent.parent / "mini"
SMALL = TRANSFORMER | dict(num_layers=2, num_attention_heads=2, num_cross_attention_heads=2, cross_attention_head_dim=32, cross_attention_dim=64,
                           caption_channels=64, sample_size=4, guidance_embeds=False)
DPM = {"_class_name": "DPMSolverMultistepScheduler", "prediction_type": "flow_prediction", "flow_shift": 3.0, "use_flow_sigmas": True,
       "num_train_timesteps": 1000}
EULER = {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0, "num_train_timesteps": 1000}
MODELS = {
    # Queries and keys normed, times to 1000.
    "sana15": (SMALL, DPM),
    # Neither, but a table of positions.
    "sana2k": (SMALL | dict(qk_norm=None, interpolation_scale=1.0), EULER),
}
PROMPT, SCALE = "a small red circle on a white background", 4.5


def features(reference, prompt, instruct):
    ids, mask = reference.tokens(prompt, instruct)
    return reference.encode(ids, mask) if instruct else (reference.text(ids, attention_mask=mask)[0], mask)


def trigflow(reference, model, path):
    """Two steps, velocities guided away from no words, all in float64."""
    trace = Trace()
    start, noises = draw_noise(0, (1, 32, 4, 4), 2)
    trace.probe("input.latents", start)
    words, none = features(reference, PROMPT, True), features(reference, "", False)
    trace.probe("prompt_embeds", words[0])
    trace.probe("prompt_mask", words[1])
    sigma, times = 0.5, [1.57080, 1.3, 0.0]
    # As float32 numbers, which is how the scheduler keeps them.
    times = torch.tensor(times, dtype=torch.float32).double()
    latents = start.double() * sigma
    for step in range(2):
        t = times[step]
        tau = torch.sin(t) / (torch.sin(t) + torch.cos(t))
        lam = 1 / (torch.sin(t) + torch.cos(t))
        x = latents / sigma * lam
        velocity, negative = (model(x, encoder_hidden_states=embeds, encoder_attention_mask=mask, timestep=(1000 * tau).reshape(1), return_dict=False)[0]
                              for embeds, mask in (words, none))
        guided = negative + SCALE * (velocity - negative)
        flow = ((1 - 2 * tau) / lam) * x + lam * guided
        denoised = torch.cos(t) * latents - torch.sin(t) * sigma * flow
        # The transformation loses nothing: this is the picture that the flow model itself predicts.
        assert (denoised - sigma * (x - tau * guided)).abs().max() < 1e-14
        for name, value in (("input", x), ("timestep", tau.reshape(1)), ("output", velocity), ("negative", negative), ("guided", guided), ("denoised", denoised)):
            trace.probe(f"dit.step{step}.{name}", value)
        trace.probe(f"input.noise.{step}", noises[step])
        latents = torch.cos(times[step + 1]) * denoised + torch.sin(times[step + 1]) * sigma * noises[step].double()
        trace.probe(f"dit.step{step}.latents", latents)
    trace.probe("latents", denoised / sigma)
    trace.save(path, {"prompt": PROMPT, "steps": 2, "guidance": SCALE, "width": 128, "height": 128, "weights": "exact"})


def euler(reference, model, path):
    """Three Euler steps and the picture, as SanaPipeline takes them."""
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    pipe = SanaPipeline(tokenizer=reference.tokenizer, text_encoder=reference.text, vae=reference.vae, transformer=model, scheduler=scheduler)
    pipe.set_progress_bar_config(disable=True)
    trace = Trace()
    start, _ = draw_noise(1, (1, 32, 4, 6), 0)
    trace.probe("input.latents", start)
    times = []

    def seen(pipe, index, time, values):
        times.append(float(time) / 1000)
        trace.probe(f"dit.step{index}.latents", values["latents"])
        return {}
    inputs = []
    model.register_forward_pre_hook(lambda _, args, kwargs: inputs.append(kwargs), with_kwargs=True)
    final = pipe(PROMPT, height=128, width=192, num_inference_steps=3, guidance_scale=SCALE, latents=start.clone(), output_type="latent",
                 use_resolution_binning=False, callback_on_step_end=seen)[0]
    for index, time in enumerate(times):
        trace.probe(f"dit.step{index}.timestep", torch.tensor([time], dtype=torch.float32))
    kwargs = inputs[0]
    mask = kwargs["encoder_attention_mask"]
    # The first of the two is the caption of no words: one token.
    assert int(mask[0].sum()) == 1
    trace.probe("prompt_embeds", kwargs["encoder_hidden_states"][1:])
    trace.probe("prompt_mask", mask[1:])
    trace.probe("latents", final)
    image = reference.decode(final)
    trace.probe("image", image)
    trace.probe("image_u8", eight_bit(image))
    trace.save(path, {"prompt": PROMPT, "steps": 3, "guidance": SCALE, "sampler": "flow-euler", "width": 192, "height": 128, "weights": "exact"})


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    out = parser.parse_args().out
    shutil.rmtree(out, ignore_errors=True)
    for seed, (name, (config, scheduler)) in enumerate(MODELS.items()):
        model = build("transformer", lambda: SanaTransformer2DModel(**config), torch.bfloat16, gaussian, torch.Generator().manual_seed(seed))
        folder = out / name
        model.save_pretrained(folder / "transformer")
        (folder / "scheduler").mkdir()
        write_json(folder / "scheduler" / "scheduler_config.json", scheduler, indent=2)
    with Widened():
        trigflow(Reference(MINI, torch.float64), SanaTransformer2DModel.from_pretrained(out / "sana15" / "transformer", torch_dtype=torch.float32).double().eval(),
                 out / "sana15-trigflow.safetensors")
    euler(Reference(MINI), SanaTransformer2DModel.from_pretrained(out / "sana2k" / "transformer", torch_dtype=torch.float32).eval(), out / "sana2k-euler.safetensors")


if __name__ == "__main__":
    main()
