// Reducer: averages gradients over ranks during the backward pass.

#pragma once

#include <torch/csrc/distributed/c10d/reducer.hpp>

#include "process_group.hpp"

// A reducer and the parameters it has hooks on.
struct Averaging {
  std::vector<at::Tensor> parameters;
  bool find_unused;
  std::unique_ptr<c10d::Reducer> reducer;
};

inline void forget_gradients(std::vector<at::Tensor>& parameters) {
  for (auto& parameter : parameters) {
    parameter.mutable_grad().reset();
  }
}

extern "C" {

// All parameters must require a gradient. Blocks until every rank has called it.
Outcome c10d_reducer_new(
    GroupPointer* group, at::Tensor** parameters, size_t count, size_t first_bucket_bytes, size_t bucket_bytes,
    bool find_unused, Averaging** averaging, char** message) {
  return guarded(message, [&] {
    auto made = std::make_unique<Averaging>();
    for (size_t index = 0; index < count; ++index) {
      made->parameters.push_back(*parameters[index]);
    }
    made->find_unused = find_unused;
    c10d::verify_params_across_processes(*group, made->parameters, std::nullopt);
    const std::vector<bool> is_sparse(count, false);
    auto buckets = std::get<0>(c10d::compute_bucket_assignment_by_size(
        made->parameters, {first_bucket_bytes, bucket_bytes}, is_sparse));
    // Gradients are computed in approximately the reverse order of the parameters.
    std::reverse(buckets.begin(), buckets.end());
    made->reducer = std::make_unique<c10d::Reducer>(
        made->parameters, std::move(buckets), *group, is_sparse, static_cast<int64_t>(bucket_bytes), find_unused,
        /*gradient_as_bucket_view=*/false, std::unordered_map<size_t, std::string>(),
        static_cast<int64_t>(first_bucket_bytes), /*skip_all_reduce_unused_params=*/false,
        /*use_python_reducer=*/false, std::vector<int64_t>());
    *averaging = made.release();
  });
}

void c10d_reducer_free(Averaging* averaging) {
  destroy(averaging);
}

// `gradients` has space for one tensor per parameter; each is freed as a tensor of torch-sys, and is undefined if no
// rank's loss depends on the parameter. The parameters' own `grad` is empty before and after.
Outcome c10d_reducer_backward(Averaging* averaging, at::Tensor* loss, at::Tensor** gradients, char** message) {
  return guarded(message, [&] {
    auto& [parameters, find_unused, reducer] = *averaging;
    forget_gradients(parameters);
    reducer->rebuild_buckets();
    reducer->prepare_for_backward(find_unused ? std::vector<at::Tensor>{*loss} : std::vector<at::Tensor>{});
    try {
      loss->backward();
      reducer->check_finalized();
    } catch (...) {
      forget_gradients(parameters);
      throw;
    }
    for (size_t index = 0; index < parameters.size(); ++index) {
      gradients[index] = new at::Tensor(parameters[index].grad());
    }
    forget_gradients(parameters);
  });
}

} // extern "C"
