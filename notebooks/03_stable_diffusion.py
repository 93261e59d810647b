# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Stable Diffusion, live
#
# Stable Diffusion calls one network over and over: once for each denoising step of each batch of images. That is
# what HPU graphs are for, if every call has the same shape. Here you turn the switches while the pipeline stays in
# memory, see what the first steps cost each time, and check that the pictures stay the same.
#
# No Gaudi is needed. Without one, Gaudi Lab emulates the device `hpu` on the CPU: it really records, compiles and
# replays, but **its times say nothing about the speed of a Gaudi**. Every result tells you which of the two it is.

# %%
# %load_ext gaudi_lab

# %%
# %gaudi_mode lazy

# %% [markdown]
# ## The pipeline
#
# The model is a complete Stable Diffusion of 3 MB (text encoder, autoencoder, UNet, tokenizer) that knows one
# thing: handwritten digits in colour. With a network and a Gaudi, change the first line to a full checkpoint, such
# as `"stable-diffusion-v1-5/stable-diffusion-v1-5"`, and the prompts to anything you like.
#
# The two classes are those of optimum-habana. A script written for it needs another import line, and nothing else.

# %%
MODEL = "digits_diffusion/model"

import torch
from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

for logging in (diffusers_logging, transformers_logging):
    logging.disable_progress_bar()
    logging.set_verbosity_error()

from gaudi_lab.diffusers import GaudiDDIMScheduler, GaudiStableDiffusionPipeline

scheduler = GaudiDDIMScheduler.from_pretrained(MODEL, subfolder="scheduler")
pipeline = GaudiStableDiffusionPipeline.from_pretrained(MODEL, scheduler=scheduler, use_habana=True)
# The bar counts denoising steps. It is a widget, which a saved notebook cannot show: take this line out.
pipeline.set_progress_bar_config(disable=True)

# %% [markdown]
# ## Draw something
#
# One image in ten steps. The seed decides what comes out, here and everywhere below.


# %%
def draw(prompt, images=1, batch_size=1, **options):
    return pipeline(
        prompt,
        num_images_per_prompt=images,
        batch_size=batch_size,
        num_inference_steps=10,
        guidance_scale=3.0,
        generator=torch.Generator().manual_seed(0),
        **options,
    )


outputs = draw("a red handwritten seven")
outputs.images[0].resize((192, 192))

# %% [markdown]
# Where did the time go? The first step compiled a graph, the others ran it. There is one graph for all steps,
# because nothing in it depends on which step it is: `GaudiDDIMScheduler` looks up what does, on the device.

# %%
outputs.warmup

# %% [markdown]
# ## HPU graphs
#
# In lazy mode Python still runs the whole UNet in each step, to find out that it is the graph it knows. An HPU
# graph is captured once, and replayed without Python.

# %%
# %gaudi_graphs on

# %%
outputs = draw("a red handwritten seven")
outputs.warmup

# %% [markdown]
# The text encoder and the decoder are captured too:

# %%
# %gaudi_status

# %% [markdown]
# ## FusedSDPA
#
# The attention of the UNet, the text encoder and the decoder goes to the bridge's fused kernel. The graphs hold the
# attention they were captured with, so they are captured anew. That is the first step below; you need not think of
# it.

# %%
# %gaudi_sdpa on

# %%
outputs = draw("a red handwritten seven")
outputs.warmup

# %% [markdown]
# ## Sixteen images, one at a time and four at a time
#
# Images are made in batches of `batch_size`. They appear as each batch is done.

# %%
one_by_one = draw("a blue handwritten three", images=16, batch_size=1)
print(one_by_one.warmup)

# %%
by_four = draw("a blue handwritten three", images=16, batch_size=4)
print(by_four.warmup)

# %% [markdown]
# A new batch size is a new shape, so there was one more capture of the UNet, and one of the decoder. The pictures are
# the same: noise is drawn for all images before they are split into batches.

# %%
import numpy as np

pairs = zip(one_by_one.images, by_four.images, strict=True)
largest = max(np.abs(np.asarray(a, int) - np.asarray(b, int)).max() for a, b in pairs)
print(f"largest difference: {largest} of 255 levels")

# %% [markdown]
# Fifteen images do not divide by four. The last batch is filled up to the same shape, so that no second graph is
# captured, and what fills it never leaves the pipeline. (Guidance doubles the first number: each image is predicted
# with its prompt and without.)

# %%
prompts = [
    "a red handwritten zero",
    "an orange 1",
    "the digit 2 in yellow",
    "a green three",
    "the number four in purple ink",
]
fifteen = draw(prompts, images=3, batch_size=4)
print(len(fifteen.images), "images, and these graphs of the UNet:")
for graph in pipeline.captured:
    if graph.component == "unet":
        print("for a sample of", graph.shapes[0].dims, "replayed", graph.replays, "times")

# %% [markdown]
# ## Which is fastest?
#
# Four images with the same seed, in some of the configurations that there are, each of them several times and in turn.
# Before anything is timed, the pictures are compared with those of the first configuration, where 255 steps are from
# black to white. A call is all four images.

# %%
prompt = "a purple handwritten five"
pipeline.preview = False

# %%
# %gaudi_compare --settings "lazy; lazy + HPU graphs + FusedSDPA; eager" draw(prompt, images=4, batch_size=4)

# %% [markdown]
# That the first configuration is right is another question. These are the pictures that the library's own pipeline
# draws on the CPU:

# %%
from diffusers import StableDiffusionPipeline

stock = StableDiffusionPipeline.from_pretrained(MODEL)
stock.set_progress_bar_config(disable=True)
expected = stock(
    prompt,
    num_images_per_prompt=4,
    num_inference_steps=10,
    guidance_scale=3.0,
    generator=torch.Generator().manual_seed(0),
    output_type="np",
).images
here = draw(prompt, images=4, batch_size=4, output_type="np").images
print(f"largest difference: {np.abs(here - expected).max():.0e}, where 1 is from black to white")

# %% [markdown]
# ## All it knows
#
# Ten digits in seven colours, back in lazy mode. HPU graphs exist only there: they waited, and come back with it.

# %%
# %gaudi_mode eager
# %gaudi_mode lazy

# %%
from diffusers.utils import make_image_grid
from digits_diffusion.data import COLOURS, DIGIT_WORDS

import gaudi_lab

prompts = [f"a {colour} handwritten {digit}" for colour in COLOURS for digit in DIGIT_WORDS]
everything = draw(prompts, batch_size=14)
make_image_grid(everything.images, rows=len(COLOURS), cols=len(DIGIT_WORDS))

# %% [markdown]
# Does it draw what it is asked for? A classifier that learned to read from real digits, none of which the generator
# has seen, says how many of the seventy it reads as prompted, and the colour of how many is right.

# %%
from digits_diffusion.judge import judge

digits, colours = judge(everything.images, prompts)
print(f"{digits.sum()} digits and {colours.sum()} colours of {len(prompts)} are right")
print(f"drawn at {everything.throughput:.1f} images per second · {gaudi_lab.status()}")
