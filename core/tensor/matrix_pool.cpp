// SPDX-License-Identifier: Apache-2.0
#include "core/tensor/matrix_pool.h"

#include <algorithm>

namespace lqer {

PooledMatrix MatrixPool::take(Index rows, Index cols)
{
    Matrix matrix;
    {
        const std::lock_guard lock(m_mutex);
        m_used += rows * cols;
        m_most = std::max(m_most, m_used);
        const auto fitting = std::find_if(m_free.begin(), m_free.end(), [&](const Matrix &m) { return m.size() == rows * cols; });
        if (fitting != m_free.end()) {
            m_idle -= fitting->size();
            matrix = std::move(*fitting);
            m_free.erase(fitting);
        }
        while (m_idle > 0 && m_used + m_idle > 2 * m_most) {
            m_idle -= m_free.front().size();
            m_free.pop_front();
        }
    }
    matrix.resize(rows, cols);  // keeps its memory where the number of elements is the same
    return {*this, std::move(matrix)};
}

void MatrixPool::give(Matrix matrix)
{
    const std::lock_guard lock(m_mutex);
    m_used -= matrix.size();
    m_idle += matrix.size();
    m_free.push_back(std::move(matrix));
}

Index MatrixPool::idle() const
{
    const std::lock_guard lock(m_mutex);
    return m_idle;
}

}  // namespace lqer
