// Process groups and their collectives.
//
// A group owns its backend with its threads and connections, and shares its store. Every collective here is complete
// when its function returns.

#pragma once

#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/comm.hpp>
#ifdef USE_C10D_NCCL
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#endif

#include "guard.hpp"
#include "store.hpp"

using GroupPointer = c10::intrusive_ptr<c10d::ProcessGroup>;

inline GroupPointer group_of(
    const StorePointer& store, int rank, int size, at::DeviceType device, c10d::ProcessGroup::BackendType type,
    const c10::intrusive_ptr<c10d::Backend>& backend) {
  auto group = c10::make_intrusive<c10d::ProcessGroup>(store, rank, size);
  group->setBackend(device, type, backend);
  group->setDefaultBackend(type);
  group->setGroupName("default");
  return group;
}

// Waits for a collective. c10d returns false if it was aborted.
inline void finish(const c10::intrusive_ptr<c10d::Work>& work) {
  TORCH_CHECK(work->wait(), "the collective was aborted");
}

inline void all_reduce(c10d::ProcessGroup& group, const at::Tensor& tensor, c10d::ReduceOp::RedOpType operation) {
  at::NoGradGuard no_grad;
  // Detached, because autograd must not record the in-place change; the memory is shared.
  const auto target = tensor.detach();
  std::vector<at::Tensor> dense{target.contiguous()};
  c10d::AllreduceOptions options;
  options.reduceOp = operation;
  finish(group.allreduce(dense, options));
  if (!dense[0].is_same(target)) {
    target.copy_(dense[0]);
  }
}

extern "C" {

// `address`: the network interface to use. If null, gloo uses the interface of this host's name, or the one named by
// GLOO_SOCKET_IFNAME.
Outcome c10d_gloo_new(
    StorePointer* store, int rank, int size, int64_t timeout_ms, const char* address, GroupPointer** group,
    char** message) {
  return guarded(message, [&] {
    using Gloo = c10d::ProcessGroupGloo;
    const std::chrono::milliseconds timeout(timeout_ms);
    auto options = Gloo::Options::create(timeout);
    if (address != nullptr) {
      options->devices.push_back(Gloo::createDeviceForHostname(address));
    } else {
      options = Gloo::Options::create_default(timeout);
    }
    auto backend = c10::make_intrusive<Gloo>(*store, rank, size, options);
    auto made = group_of(*store, rank, size, at::kCPU, c10d::ProcessGroup::BackendType::GLOO, backend);
#ifdef TFNAS_CUDA
    // Gloo copies the tensors of a GPU through the host.
    made->setBackend(at::kCUDA, c10d::ProcessGroup::BackendType::GLOO, backend);
#endif
    *group = new GroupPointer(std::move(made));
  });
}

#ifdef USE_C10D_NCCL
Outcome c10d_nccl_new(
    StorePointer* store, int rank, int size, int64_t timeout_ms, GroupPointer** group, char** message) {
  return guarded(message, [&] {
    auto options = c10d::ProcessGroupNCCL::Options::create();
    options->timeout = std::chrono::milliseconds(timeout_ms);
    auto backend = c10::make_intrusive<c10d::ProcessGroupNCCL>(*store, rank, size, options);
    *group = new GroupPointer(
        group_of(*store, rank, size, at::kCUDA, c10d::ProcessGroup::BackendType::NCCL, backend));
  });
}
#endif

void c10d_group_free(GroupPointer* group) {
  destroy(group);
}

// `operation`: a `c10d::ReduceOp::RedOpType`.
Outcome c10d_all_reduce(GroupPointer* group, at::Tensor* tensor, int operation, char** message) {
  return guarded(
      message, [&] { all_reduce(**group, *tensor, static_cast<c10d::ReduceOp::RedOpType>(operation)); });
}

Outcome c10d_broadcast(GroupPointer* group, at::Tensor** tensors, size_t count, int root, char** message) {
  return guarded(message, [&] {
    at::NoGradGuard no_grad;
    std::vector<at::Tensor> targets;
    for (size_t index = 0; index < count; ++index) {
      targets.push_back(tensors[index]->detach());
    }
    // The buffer size of PyTorch's DistributedDataParallel.
    constexpr size_t kBufferBytes = 250 * 1024 * 1024;
    c10d::broadcast_coalesced(*group, targets, kBufferBytes, root);
  });
}

// `gathered` has space for one tensor per rank; each is freed as a tensor of torch-sys.
Outcome c10d_all_gather(GroupPointer* group, at::Tensor* tensor, at::Tensor** gathered, char** message) {
  return guarded(message, [&] {
    at::NoGradGuard no_grad;
    std::vector<at::Tensor> inputs{tensor->detach().contiguous()};
    std::vector<std::vector<at::Tensor>> outputs(1);
    for (int rank = 0; rank < (*group)->getSize(); ++rank) {
      outputs[0].push_back(at::empty_like(inputs[0]));
    }
    finish((*group)->allgather(outputs, inputs));
    for (size_t rank = 0; rank < outputs[0].size(); ++rank) {
      gathered[rank] = new at::Tensor(outputs[0][rank]);
    }
  });
}

Outcome c10d_barrier(GroupPointer* group, int64_t timeout_ms, char** message) {
  return guarded(message, [&] {
    c10d::BarrierOptions options;
    options.timeout = std::chrono::milliseconds(timeout_ms);
    if ((*group)->getBackendType() == c10d::ProcessGroup::BackendType::GLOO) {
      // Rank 0 waits for all ranks, so that its error can name every missing rank.
      (*group)->monitoredBarrier(options, (*group)->getRank() == 0);
    } else {
      finish((*group)->barrier(options));
    }
  });
}

} // extern "C"
