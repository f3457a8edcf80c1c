"""Configurations of the random checkpoints that make_checkpoint.py writes, as data."""

# What the published Sprint models share.
TRANSFORMER = dict(
    in_channels=32, out_channels=32, attention_head_dim=32, mlp_ratio=2.5, attention_bias=False, sample_size=32, patch_size=1,
    norm_elementwise_affine=False, norm_eps=1e-6, interpolation_scale=None, guidance_embeds=True, guidance_embeds_scale=0.1,
    qk_norm="rms_norm_across_heads", caption_channels=2304)
F32_STAGES = ("ResBlock",) * 3 + ("EfficientViTBlock",) * 3
F32_SCALES = ((), (), (), (5,), (5,), (5,))
VAE = dict(
    latent_channels=32, scaling_factor=0.41407, upsample_block_type="interpolate", downsample_block_type="Conv",
    encoder_block_types=F32_STAGES, decoder_block_types=F32_STAGES, encoder_qkv_multiscales=F32_SCALES, decoder_qkv_multiscales=F32_SCALES)


def vae_f32(widths, encoder_layers, decoder_layers):
    return VAE | dict(encoder_block_out_channels=widths, decoder_block_out_channels=widths,
                      encoder_layers_per_block=encoder_layers, decoder_layers_per_block=decoder_layers)


VAE_REAL = vae_f32((128, 256, 512, 512, 1024, 1024), (2, 2, 2, 3, 3, 3), (3, 3, 3, 3, 3, 3))
GEMMA_REAL = dict(vocab_size=256000, hidden_size=2304, intermediate_size=9216, num_hidden_layers=26, num_attention_heads=8,
                  num_key_value_heads=4, head_dim=256, query_pre_attn_scalar=256, sliding_window=4096)
# The vocabulary is that of tiny-sprint's tokenizer.
GEMMA_SMALL = dict(vocab_size=1024, hidden_size=2304, intermediate_size=768, num_hidden_layers=4, num_attention_heads=4,
                   num_key_value_heads=2, head_dim=64, query_pre_attn_scalar=64, sliding_window=64, max_position_embeddings=1024)

# "files" is how the parts are saved when the command line says nothing else.
PRESETS = {
    "1600M": dict(
        transformer=TRANSFORMER | dict(num_layers=20, num_attention_heads=70, num_cross_attention_heads=20, cross_attention_head_dim=112, cross_attention_dim=2240),
        vae=VAE_REAL, text=None, files=dict(dtype="bfloat16", shard="2GB", variant=None)),
    "600M": dict(
        transformer=TRANSFORMER | dict(num_layers=28, num_attention_heads=36, num_cross_attention_heads=16, cross_attention_head_dim=72, cross_attention_dim=1152),
        vae=VAE_REAL, text=None, files=dict(dtype="bfloat16", shard="2GB", variant=None)),
    # Two blocks of the real width between small parts; 512 px.
    "wide": dict(
        transformer=TRANSFORMER | dict(num_layers=2, num_attention_heads=70, num_cross_attention_heads=20, cross_attention_head_dim=112, cross_attention_dim=2240,
                                       sample_size=16),
        vae=vae_f32((16, 32, 64, 64, 128, 128), (1,) * 6, (1, 1, 1, 1, 2, 2)),
        text=GEMMA_SMALL, files=dict(dtype="bfloat16", shard="2GB", variant=None)),
    # All parts of the real layout, small enough for a test that runs them all, too large for git.
    "medium": dict(
        transformer=TRANSFORMER | dict(num_layers=3, num_attention_heads=10, num_cross_attention_heads=5, cross_attention_head_dim=64, cross_attention_dim=320,
                                       caption_channels=256),
        vae=vae_f32((16, 32, 64, 64, 128, 128), (1,) * 6, (1, 1, 1, 1, 2, 2)),
        text=GEMMA_SMALL | dict(hidden_size=256), files=dict(dtype="bfloat16", shard="2GB", variant=None)),
    # The same, narrow enough for git.
    "mini": dict(
        transformer=TRANSFORMER | dict(num_layers=3, num_attention_heads=3, num_cross_attention_heads=4, cross_attention_head_dim=24, cross_attention_dim=96,
                                       caption_channels=64, sample_size=4),
        vae=vae_f32((8, 8, 16, 32, 32, 64), (1, 1, 1, 1, 1, 1), (1, 1, 1, 1, 2, 1)),
        text=GEMMA_SMALL | dict(hidden_size=64, intermediate_size=160, head_dim=32, query_pre_attn_scalar=32),
        files=dict(dtype="bfloat16", shard="400KB", variant=None)),
    # Everything the configuration may decide, decided otherwise. The autoencoder's decoder has no first stage, like DC-AE Lite.
    "odd": dict(
        transformer=TRANSFORMER | dict(
            in_channels=8, out_channels=8, num_layers=3, num_attention_heads=5, attention_head_dim=16, num_cross_attention_heads=2,
            cross_attention_head_dim=40, cross_attention_dim=80, caption_channels=72, mlp_ratio=2.3, sample_size=12, patch_size=2,
            guidance_embeds_scale=0.25),
        vae=dict(
            latent_channels=8, scaling_factor=0.7, attention_head_dim=16, upsample_block_type="pixel_shuffle", downsample_block_type="pixel_unshuffle",
            encoder_block_types=("ResBlock", "ResBlock", "EfficientViTBlock", "EfficientViTBlock"),
            decoder_block_types=("ResBlock", "ResBlock", "EfficientViTBlock", "EfficientViTBlock"),
            encoder_block_out_channels=(8, 16, 32, 64), decoder_block_out_channels=(8, 16, 32, 64),
            encoder_layers_per_block=(1, 2, 1, 1), decoder_layers_per_block=(0, 2, 1, 2),
            encoder_qkv_multiscales=((), (), (), (3, 5)), decoder_qkv_multiscales=((), (), (), (5,)),
            decoder_norm_types=("rms_norm",) * 4, decoder_act_fns=("silu", "relu", "silu", "silu"), decoder_conv_act_fn="silu",
            encoder_out_shortcut=False),
        text=GEMMA_SMALL | dict(hidden_size=72, intermediate_size=128, num_hidden_layers=5, num_attention_heads=6, num_key_value_heads=3, head_dim=16,
                                query_pre_attn_scalar=20, attn_logit_softcapping=30.0, sliding_window=40,
                                rope_parameters={"rope_type": "default", "rope_theta": 5000.0}),
        files=dict(dtype="float16", shard="200KB", variant="fp16")),
}
