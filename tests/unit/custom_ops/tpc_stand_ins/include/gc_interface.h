// Stands in for Intel's header of this name: what the public tests of Habana_Custom_Kernel use of it.
#pragma once
namespace gcapi {
static const unsigned MAX_TENSOR_DIM = 5;
}
