// The shim as one translation unit: reading torch's headers takes most of its compile time, and so is done once.

#include "batch_norm.hpp"
#include "device.hpp"
#include "differentiable.hpp"
#include "mixed_precision.hpp"
#include "process_group.hpp"
#include "reducer.hpp"
#include "store.hpp"

extern "C" void c10d_free(void* memory) {
  std::free(memory);
}
