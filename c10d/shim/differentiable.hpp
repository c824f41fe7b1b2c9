// A differentiable all-reduce.

#pragma once

#include <torch/csrc/autograd/custom_function.h>

#include "process_group.hpp"

// y = sum over ranks of x. Every rank's loss depends on every rank's x, so the gradient of x is the sum over ranks of
// the gradients of y.
struct SumOverRanks : torch::autograd::Function<SumOverRanks> {
  static at::Tensor forward(
      torch::autograd::AutogradContext* context, const at::Tensor& x, const GroupPointer& group) {
    context->saved_data["group"] = group;
    auto y = x.clone(at::MemoryFormat::Contiguous);
    all_reduce(*group, y, c10d::ReduceOp::SUM);
    return y;
  }

  static torch::autograd::variable_list backward(
      torch::autograd::AutogradContext* context, torch::autograd::variable_list gradients) {
    const auto group = context->saved_data["group"].toCustomClass<c10d::ProcessGroup>();
    auto gradient = gradients[0].clone(at::MemoryFormat::Contiguous);
    all_reduce(*group, gradient, c10d::ReduceOp::SUM);
    return {gradient, at::Tensor()};
  }
};

extern "C" {

// `*sum` is freed as a tensor of torch-sys. Its graph shares the group.
Outcome c10d_sum_over_ranks(GroupPointer* group, at::Tensor* tensor, at::Tensor** sum, char** message) {
  return guarded(message, [&] { *sum = new at::Tensor(SumOverRanks::apply(*tensor, *group)); });
}

} // extern "C"
