from habana_frameworks.torch.utils.internal import is_lazy as is_lazy
from .CTCLoss import CTCLoss as CTCLoss
from .CustomSoftmax import CustomSoftmax as CustomSoftmax
from .Fp8FusedSDPA import (
    fp8_fused_sdpa as fp8_fused_sdpa,
    fp8_sdpa_bwd_wrapper as fp8_sdpa_bwd_wrapper,
    fp8_sdpa_fwd_wrapper as fp8_sdpa_fwd_wrapper,
    gqa_output_reshape as gqa_output_reshape,
)
from .FusedSDPA import FusedSDPA as FusedSDPA
from .PySDPA import PySDPA as PySDPA
from .PySDPA import PySDPAHinted as PySDPAHinted
from .RotaryPosEmbeddingHelper import (
    RotaryPosEmbeddingHelperV1 as RotaryPosEmbeddingHelperV1,
    RotaryPosEmbeddingHelperV2 as RotaryPosEmbeddingHelperV2,
    RotaryPosEmbeddingHelperV3 as RotaryPosEmbeddingHelperV3,
    RotaryPosEmbeddingMode as RotaryPosEmbeddingMode,
    apply_rotary_pos_emb as apply_rotary_pos_emb,
)
