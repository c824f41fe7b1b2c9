// Converts exceptions to return values: no exception leaves a function of the shim.
//
// Each function returns whether it succeeded. If not, `*message` is a string that the caller frees with
// `tfnas_kernels_free`, or null if it could not be allocated, and the other out parameters have not been written.

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
    *message = strdup("an exception that is not a std::exception");
  }
  return false;
}
