// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/linalg/bf16_weight.h"
#include "core/task/task_context.h"
#include "core/tensor/matrix.h"

namespace lqer {

// Products through oneDNN in float and OpenBLAS in double (both choose their code for the processor at run time), split into fixed
// blocks over the pool: the same bits for any number of threads. Row-major operands with any row stride; the result overlaps no
// operand. Shapes are asserted.
// The bits of a row may depend on the shape of the product it is computed in (the libraries choose their kernels by shape), so the
// same window inside a bigger product may differ in the last bits.

// C = A B            (m,k)(k,n)
void multiply(const ConstMatrixRef &a, const ConstMatrixRef &b, MatrixRef c, const TaskContext &context = {});
void multiply(const ConstMatrixF64Ref &a, const ConstMatrixF64Ref &b, MatrixF64Ref c, const TaskContext &context = {});
// C = A B^T          (m,k)(n,k): a linear layer, x W^T
void multiplyTransposed(const ConstMatrixRef &a, const ConstMatrixRef &b, MatrixRef c, const TaskContext &context = {});
void multiplyTransposed(const ConstMatrixF64Ref &a, const ConstMatrixF64Ref &b, MatrixF64Ref c, const TaskContext &context = {});
// C = A^T B          (k,m)(k,n)
void transposedMultiply(const ConstMatrixRef &a, const ConstMatrixRef &b, MatrixRef c, const TaskContext &context = {});
void transposedMultiply(const ConstMatrixF64Ref &a, const ConstMatrixF64Ref &b, MatrixF64Ref c, const TaskContext &context = {});
// C -= A B           (m,k)(k,n)
void subtractProduct(const ConstMatrixRef &a, const ConstMatrixRef &b, MatrixRef c, const TaskContext &context = {});
// G = X^T X, both triangles filled; computed in X's precision. (tokens, n) -> (n, n)
void gram(const ConstMatrixRef &x, MatrixRef g, const TaskContext &context = {});
void gram(const ConstMatrixF64Ref &x, MatrixF64Ref g, const TaskContext &context = {});
// Lower triangle of sum += X^T X, the product in float and the sum in double, without a second (n, n) matrix.
void addGramLower(const ConstMatrixRef &x, MatrixF64Ref sum, const TaskContext &context = {});
// The same in bfloat16, whose products are exact in float, at twice the speed. Only where Bf16Weight::isSupported().
void addGramLower(const Bf16Rows &x, MatrixF64Ref sum, const TaskContext &context = {});
// Copies the lower triangle above the diagonal.
void fillUpper(MatrixF64Ref symmetric, const TaskContext &context = {});

}  // namespace lqer
