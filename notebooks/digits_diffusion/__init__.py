"""A tiny Stable Diffusion that draws handwritten digits in colour, and the judge of its drawings."""
