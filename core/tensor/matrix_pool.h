// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <list>
#include <mutex>
#include <utility>

#include "core/tensor/matrix.h"

namespace lqer {

class PooledMatrix;

// Matrices that serve again and again. What malloc gives back to the system comes page by page, cleared, the next time: a forward
// pass, which needs arrays of the same few sizes for every window and layer, would spend an eighth of its time on that. Thread-safe;
// outlives the matrices taken from it.
class MatrixPool {
public:
    // Its elements are anything.
    PooledMatrix take(Index rows, Index cols);

    // Elements that lie ready. With those in use they are at most twice the most that were ever in use at a time.
    Index idle() const;

private:
    friend class PooledMatrix;
    void give(Matrix matrix);

    mutable std::mutex m_mutex;
    std::list<Matrix> m_free;  // oldest first
    Index m_idle = 0, m_used = 0, m_most = 0;  // elements
};

// A matrix that goes back to its pool.
class PooledMatrix {
public:
    PooledMatrix() = default;
    PooledMatrix(MatrixPool &pool, Matrix matrix) : m_pool(&pool), m_matrix(std::move(matrix)) {}
    PooledMatrix(PooledMatrix &&other) noexcept : m_pool(std::exchange(other.m_pool, nullptr)), m_matrix(std::move(other.m_matrix)) {}
    PooledMatrix &operator=(PooledMatrix &&other) noexcept
    {
        std::swap(m_pool, other.m_pool);
        m_matrix.swap(other.m_matrix);
        return *this;
    }
    ~PooledMatrix()
    {
        if (m_pool)
            m_pool->give(std::move(m_matrix));
    }

    explicit operator bool() const { return m_pool != nullptr; }
    Matrix &operator*() { return m_matrix; }
    const Matrix &operator*() const { return m_matrix; }
    Matrix *operator->() { return &m_matrix; }
    const Matrix *operator->() const { return &m_matrix; }

private:
    MatrixPool *m_pool = nullptr;
    Matrix m_matrix;
};

}  // namespace lqer
