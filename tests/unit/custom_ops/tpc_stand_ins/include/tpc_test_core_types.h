// Stands in for Intel's header of this name: what the public tests of Habana_Custom_Kernel use of it.
#pragma once
#include <cstdint>
namespace tpc_tests {
struct DimDescriptor { uint32_t size, stride; };
struct TensorDesc2 {
  union { uint64_t baseAddr; } baseAddrUnion;
  uint32_t paddingValue, configuration;
  DimDescriptor dimDescriptors[5];
};
struct VPEStats { int unused; };
}  // namespace tpc_tests
