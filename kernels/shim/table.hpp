// The functions of the instruction set that a file is compiled for.

#pragma once

#include "depthwise.hpp"
#include "norm.hpp"
#include "scale.hpp"

namespace {

template <class T>
constexpr tfnas::MapKernels map_kernels = {
    moments<T>, normalize<T>, reduce<T>, gradient<T>, sum_rows<T>, scale_rows<T>, depthwise<T>, depthwise_weight<T>};

}  // namespace
