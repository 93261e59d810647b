from gaudi_lab import diffusers as diffusers
from gaudi_lab import transformers as transformers
from gaudi_lab.api import apply as apply
from gaudi_lab.api import attach as attach
from gaudi_lab.api import compile as compile  # noqa: A004
from gaudi_lab.api import detach as detach
from gaudi_lab.api import freeze as freeze
from gaudi_lab.api import fused_sdpa as fused_sdpa
from gaudi_lab.api import hpu_graphs as hpu_graphs
from gaudi_lab.api import mode as mode
from gaudi_lab.api import no_compiles as no_compiles
from gaudi_lab.api import status as status
from gaudi_lab.api import warmup as warmup
from gaudi_lab.api import why as why
from gaudi_lab.diffusers import GaudiDDIMScheduler as GaudiDDIMScheduler
from gaudi_lab.diffusers import GaudiStableDiffusionPipeline as GaudiStableDiffusionPipeline
from gaudi_lab.errors import LabError as LabError
from gaudi_lab.gaudi_config import GaudiConfig as GaudiConfig
from gaudi_lab.measure.recorder import Recorder as Recorder
from gaudi_lab.measure.timeline import Timeline as Timeline
from gaudi_lab.notebook.panel import panel as panel
from gaudi_lab.settings import Mode as Mode
from gaudi_lab.settings import Settings as Settings
from gaudi_lab.transformers import GaudiTrainer as GaudiTrainer
from gaudi_lab.transformers import GaudiTrainingArguments as GaudiTrainingArguments

def load_ipython_extension(ipython: object) -> None: ...
def unload_ipython_extension(ipython: object) -> None: ...
