// Runs one TPC kernel on Intel's simulator: tensors come from files and go back to files.
//
// The structures and the call are those that the tests of https://github.com/HabanaAI/Habana_Custom_Kernel use:
// tests/test_base.cpp (SetUp, RunSimulation), tests/tensor.h (GetTensorDescriptor), src/gaudi_src/sin_f32.cpp (glue).
//
// simulate DEVICE ELF INPUTS RESULTS {FILE KIND LANES BYTES DIMENSIONS SIZE...}... NUMBER...

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "gc_interface.h"
#include "tpc_kernel_lib_interface.h"
#include "tpc_test_core_types.h"
#include "tpc_test_core_api.h"

using namespace tpc_tests;

namespace {

constexpr int kMostTensors = 16;
constexpr int kDimensions = 5;

struct Operand {
  std::string file;
  tpc_lib_api::TensorDataType kind;
  unsigned lanes, bytes, dimensions;
  std::vector<uint64_t> sizes;
  std::vector<char> data;
};

std::vector<char> Read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    fprintf(stderr, "cannot read %s\n", path.c_str());
    exit(2);
  }
  return std::vector<char>(std::istreambuf_iterator<char>(file), {});
}

tpc_lib_api::TensorDataType KindOf(const std::string& name) {
  if (name == "DATA_F32") return tpc_lib_api::DATA_F32;
  if (name == "DATA_BF16") return tpc_lib_api::DATA_BF16;
  if (name == "DATA_I32") return tpc_lib_api::DATA_I32;
  if (name == "DATA_I16") return tpc_lib_api::DATA_I16;
  return tpc_lib_api::DATA_I8;
}

tpc_lib_api::DeviceId DeviceOf(const std::string& name) {
  if (name == "gaudi") return tpc_lib_api::DEVICE_ID_GAUDI;
  if (name == "gaudi3") return tpc_lib_api::DEVICE_ID_GAUDI3;
  return tpc_lib_api::DEVICE_ID_GAUDI2;
}

// tests/test_base.hpp, LoadTensorToGcDescriptor
void Load(tpc_lib_api::Tensor* target, const Operand& operand) {
  target->geometry.dims = operand.dimensions;
  target->geometry.dataType = operand.kind;
  for (unsigned i = 0; i < operand.dimensions; ++i) {
    target->geometry.maxSizes[i] = operand.sizes[i];
    target->geometry.minSizes[i] = operand.sizes[i];
  }
}

// tests/tensor.h, GetTensorDescriptor
TensorDesc2 Describe(Operand& operand) {
  TensorDesc2 description = {};
  description.baseAddrUnion.baseAddr = reinterpret_cast<uint64_t>(operand.data.data());
  uint32_t mask = 0;
  uint32_t stride = 1;
  for (unsigned i = 0; i < operand.dimensions; ++i) {
    description.dimDescriptors[i].size = operand.sizes[i];
    description.dimDescriptors[i].stride = stride;
    stride *= operand.sizes[i];
    mask |= 1u << i;
  }
  const uint32_t element = operand.bytes == 1 ? 0 : operand.bytes == 2 ? 1 : 2;
  description.configuration = (element & 0x3) | ((mask & ((1u << kDimensions) - 1)) << 8) |
                              (((operand.dimensions - 1) & 0x7) << 16);
  return description;
}

// One vector of the innermost dimension, and one step in each other, for each member of the index space.
void Map(tpc_lib_api::TensorAccessPattern* pattern, const Operand& operand) {
  pattern->allRequired = true;
  for (unsigned i = 0; i < operand.dimensions; ++i) {
    const int step = i ? 1 : operand.lanes;
    pattern->mapping[i].indexSpaceDim = i;
    pattern->mapping[i].a = step;
    pattern->mapping[i].start_b = 0;
    pattern->mapping[i].end_b = step - 1;
  }
}

}  // namespace

int main(int count, char** words) {
  int next = 1;
  const auto take = [&]() -> std::string {
    if (next >= count) {
      fprintf(stderr, "too few arguments\n");
      exit(2);
    }
    return words[next++];
  };
  const std::string device = take();
  std::vector<char> elf = Read(take());
  const int inputs = std::stoi(take()), results = std::stoi(take());
  std::vector<Operand> operands(inputs + results);
  for (Operand& operand : operands) {
    operand.file = take();
    operand.kind = KindOf(take());
    operand.lanes = std::stoul(take());
    operand.bytes = std::stoul(take());
    operand.dimensions = std::stoul(take());
    for (unsigned i = 0; i < operand.dimensions; ++i) operand.sizes.push_back(std::stoull(take()));
    operand.data = Read(operand.file);
  }

  tpc_lib_api::HabanaKernelParams in;
  tpc_lib_api::HabanaKernelInstantiation out;
  memset(&in, 0, sizeof(in));
  memset(&out, 0, sizeof(out));
  std::vector<tpc_lib_api::Tensor> in_tensors(kMostTensors), out_tensors(kMostTensors);
  std::vector<tpc_lib_api::TensorAccessPattern> in_patterns(kMostTensors), out_patterns(kMostTensors);
  memset(in_tensors.data(), 0, kMostTensors * sizeof(in_tensors[0]));
  memset(out_tensors.data(), 0, kMostTensors * sizeof(out_tensors[0]));
  memset(in_patterns.data(), 0, kMostTensors * sizeof(in_patterns[0]));
  memset(out_patterns.data(), 0, kMostTensors * sizeof(out_patterns[0]));
  in.deviceId = DeviceOf(device);
  in.inputTensors = in_tensors.data();
  in.outputTensors = out_tensors.data();
  in.inputTensorNr = inputs;
  in.outputTensorNr = results;
  out.inputTensorAccessPattern = in_patterns.data();
  out.outputTensorAccessPattern = out_patterns.data();
  for (int i = 0; i < inputs; ++i) {
    Load(&in_tensors[i], operands[i]);
    Map(&in_patterns[i], operands[i]);
  }
  for (int i = 0; i < results; ++i) {
    Load(&out_tensors[i], operands[inputs + i]);
    Map(&out_patterns[i], operands[inputs + i]);
  }

  const Operand& first = operands[inputs];
  out.indexSpaceRank = kDimensions;
  for (unsigned i = 0; i < kDimensions; ++i) {
    out.indexSpaceGeometry[i] = i < first.dimensions ? first.sizes[i] : 1;
  }
  out.indexSpaceGeometry[0] = (first.sizes[0] + first.lanes - 1) / first.lanes;
  out.kernel.kernelElf = elf.data();
  out.kernel.elfSize = elf.size();
  for (; next < count; ++next) {
    out.kernel.scalarParams[out.kernel.paramsNr++] = static_cast<uint32_t>(std::stoul(words[next]));
  }

  std::vector<TensorDesc2> descriptions;
  for (Operand& operand : operands) descriptions.push_back(Describe(operand));
  VPEStats statistics;
  const unsigned cycles = tpc_tests::RunSimulation(in, out, descriptions, statistics);
  printf("%u cycles\n", cycles);
  for (int i = inputs; i < inputs + results; ++i) {
    std::ofstream file(operands[i].file, std::ios::binary);
    file.write(operands[i].data.data(), operands[i].data.size());
  }
  return 0;
}
