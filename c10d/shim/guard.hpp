// Converts exceptions to return values: no exception leaves a function of the shim.
//
// Each function returns an `Outcome`. Unless it is `kDone`, `*message` is a string that the caller frees with
// `c10d_free`, and the other out parameters have not been written.

#pragma once

#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>

#include <c10/util/Exception.h>
#include <torch/csrc/distributed/c10d/exception.h>

enum Outcome : int { kDone = 0, kTimedOut = 1, kNetwork = 2, kStore = 3, kOther = 4 };

inline Outcome fail(char** message, Outcome outcome, const char* text) noexcept {
  *message = strdup(text);
  return outcome;
}

template <class Body>
Outcome guarded(char** message, const Body& body) noexcept {
  try {
    body();
    return kDone;
  } catch (const c10d::TimeoutError& error) {
    return fail(message, kTimedOut, error.what_without_backtrace());
  } catch (const c10::DistStoreError& error) {
    return fail(message, kStore, error.what_without_backtrace());
  } catch (const c10::DistNetworkError& error) {
    return fail(message, kNetwork, error.what_without_backtrace());
  } catch (const c10::Error& error) {
    return fail(message, kOther, error.what_without_backtrace());
  } catch (const std::exception& error) {
    return fail(message, kOther, error.what());
  } catch (...) {
    return fail(message, kOther, "an exception that is not a std::exception");
  }
}

// A destructor that throws has released what it could; the exception cannot be reported.
template <class Owned>
void destroy(Owned* owned) noexcept {
  try {
    delete owned;
  } catch (...) {
  }
}
