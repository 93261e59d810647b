from gaudi_lab.diffusers.ddim import GaudiDDIMScheduler as GaudiDDIMScheduler
from gaudi_lab.diffusers.output import (
    GaudiStableDiffusionPipelineOutput as GaudiStableDiffusionPipelineOutput,
)
from gaudi_lab.diffusers.pipeline import GaudiStableDiffusionPipeline as GaudiStableDiffusionPipeline
