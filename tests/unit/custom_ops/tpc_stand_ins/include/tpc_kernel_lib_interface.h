// Stands in for Intel's header of this name: what the public tests of Habana_Custom_Kernel use of it.
#pragma once
#include <cstdint>
namespace tpc_lib_api {
enum DeviceId { DEVICE_ID_GAUDI = 1, DEVICE_ID_GAUDI2 = 4, DEVICE_ID_GAUDI3 = 5 };
enum TensorDataType { DATA_I8 = 1, DATA_F16 = 2, DATA_I16 = 4, DATA_I32 = 8, DATA_F32 = 16, DATA_BF16 = 32 };
struct Geometry {
  uint32_t dims;
  uint64_t maxSizes[25];
  uint64_t minSizes[25];
  TensorDataType dataType;
};
struct Tensor { Geometry geometry; };
struct DimensionMapping { uint32_t indexSpaceDim; float a, start_b, end_b; };
struct TensorAccessPattern { bool allRequired; DimensionMapping mapping[25]; };
struct Kernel { void* kernelElf; uint32_t elfSize; uint32_t paramsNr; uint32_t scalarParams[64]; };
struct HabanaKernelParams { DeviceId deviceId; uint32_t inputTensorNr, outputTensorNr; Tensor *inputTensors, *outputTensors; };
struct HabanaKernelInstantiation {
  uint32_t indexSpaceRank;
  uint64_t indexSpaceGeometry[5];
  TensorAccessPattern *inputTensorAccessPattern, *outputTensorAccessPattern;
  Kernel kernel;
};
}  // namespace tpc_lib_api
