// Stands in for Intel's header of this name: what the public tests of Habana_Custom_Kernel use of it.
#pragma once
#include <vector>
#include "tpc_kernel_lib_interface.h"
#include "tpc_test_core_types.h"
namespace tpc_tests {
unsigned RunSimulation(const tpc_lib_api::HabanaKernelParams&, const tpc_lib_api::HabanaKernelInstantiation&,
                       std::vector<TensorDesc2>&, VPEStats&);
}
