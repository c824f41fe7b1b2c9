// The shim as a single translation unit, because parsing torch's headers takes most of the compile time.

#include "batch_norm.hpp"
#include "device.hpp"
#include "differentiable.hpp"
#include "mixed_precision.hpp"
#include "process_group.hpp"
#include "profiler.hpp"
#include "reducer.hpp"
#include "store.hpp"

extern "C" void c10d_free(void* memory) {
  std::free(memory);
}
