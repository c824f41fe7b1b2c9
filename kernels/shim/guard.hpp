// What every function of the shim has in common: no exception leaves it.
//
// Each returns whether it is done. If not, `*message` is a text that the caller frees with `tfnas_kernels_free`, or null if there was
// no memory for it, and nothing has been written to the other out parameters.

#pragma once

#include <cstring>
#include <exception>

#include <c10/util/Exception.h>

template <class Body>
bool guarded(char** message, const Body& body) noexcept {
  try {
    body();
    return true;
  } catch (const c10::Error& error) {
    *message = strdup(error.what_without_backtrace());
  } catch (const std::exception& error) {
    *message = strdup(error.what());
  } catch (...) {
    *message = strdup("an exception that is no std::exception");
  }
  return false;
}
