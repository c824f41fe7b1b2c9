// TCPStore and PrefixStore.

#pragma once

#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "guard.hpp"

using StorePointer = c10::intrusive_ptr<c10d::Store>;

extern "C" {

Outcome c10d_store_new(
    const char* host, uint16_t port, bool is_server, int64_t timeout_ms,
    StorePointer** store, uint16_t* bound_port, char** message) {
  return guarded(message, [&] {
    c10d::TCPStoreOptions options;
    options.port = port;
    options.isServer = is_server;
    options.waitWorkers = false;
    options.timeout = std::chrono::milliseconds(timeout_ms);
    auto tcp = c10::make_intrusive<c10d::TCPStore>(host, options);
    *bound_port = tcp->getPort();
    *store = new StorePointer(std::move(tcp));
  });
}

// The new store keeps the connection of the old one alive.
Outcome c10d_store_prefixed(StorePointer* store, const char* prefix, StorePointer** prefixed, char** message) {
  return guarded(message, [&] {
    *prefixed = new StorePointer(c10::make_intrusive<c10d::PrefixStore>(prefix, *store));
  });
}

void c10d_store_free(StorePointer* store) {
  destroy(store);
}

Outcome c10d_store_set(StorePointer* store, const char* key, const uint8_t* value, size_t length, char** message) {
  return guarded(message, [&] { (*store)->set(key, std::vector<uint8_t>(value, value + length)); });
}

// `*value` is freed with `c10d_free`.
Outcome c10d_store_get(StorePointer* store, const char* key, uint8_t** value, size_t* length, char** message) {
  return guarded(message, [&] {
    const auto found = (*store)->get(key);
    auto* copy = static_cast<uint8_t*>(std::malloc(found.size() + 1));
    TORCH_CHECK(copy != nullptr, "no memory for a value of ", found.size(), " bytes");
    std::copy(found.begin(), found.end(), copy);
    *value = copy;
    *length = found.size();
  });
}

Outcome c10d_store_add(StorePointer* store, const char* key, int64_t amount, int64_t* sum, char** message) {
  return guarded(message, [&] { *sum = (*store)->add(key, amount); });
}

Outcome c10d_store_wait(StorePointer* store, const char* key, int64_t timeout_ms, char** message) {
  return guarded(message, [&] { (*store)->wait({key}, std::chrono::milliseconds(timeout_ms)); });
}

Outcome c10d_store_check(StorePointer* store, const char* key, bool* is_there, char** message) {
  return guarded(message, [&] { *is_there = (*store)->check({key}); });
}

} // extern "C"
