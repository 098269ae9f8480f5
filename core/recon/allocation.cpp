// SPDX-License-Identifier: Apache-2.0
#include "core/recon/allocation.h"

#include <algorithm>
#include <queue>

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/base/error.h"

namespace lqer {

namespace {

// The next components of one layer.
struct Offer {
    double gain;
    double bits;
    std::size_t layer;
    Index count;
};

// Orders by gain per bit, the earlier layer first among equals.
struct Later {
    bool operator()(const Offer &a, const Offer &b) const
    {
        const double left = a.gain / a.bits;
        const double right = b.gain / b.bits;
        return left != right ? left < right : a.layer > b.layer;
    }
};

double bitsPerComponent(const RankCandidate &layer)
{
    return layer.aBits * static_cast<double>(layer.in) + layer.bBits * static_cast<double>(layer.out);
}

void check(std::span<const RankCandidate> layers, double budgetBits)
{
    if (!(budgetBits >= 0))
        throw Error(ErrorCode::Argument, fmt::format("a budget of {} bits cannot be spent", budgetBits));
    for (std::size_t i = 0; i < layers.size(); ++i) {
        const RankCandidate &layer = layers[i];
        const bool descending = std::is_sorted(layer.sigma.begin(), layer.sigma.end(),
                                               [](double next, double before) { return !(next <= before); });
        if (!(layer.weight >= 0) || !(bitsPerComponent(layer) > 0) || !descending
            || (layer.sigma.size() && !(layer.sigma.minCoeff() >= 0)))
            throw Error(ErrorCode::Argument,
                        fmt::format("layer {} of the allocation: weight {}, {} bits a component, singular values {}", i,
                                    layer.weight, bitsPerComponent(layer), descending ? "descending" : "not descending"));
    }
}

}  // namespace

RankAllocation allocateRanks(std::span<const RankCandidate> layers, double budgetBits, Index step)
{
    LQER_ASSERT(step >= 1);
    check(layers, budgetBits);
    RankAllocation allocation;
    allocation.ranks.resize(layers.size(), 0);
    const auto next = [&](std::size_t index) {
        const RankCandidate &layer = layers[index];
        const Index rank = allocation.ranks[index];
        const Index count = std::min(step, layer.sigma.size() - rank);
        const double energy = layer.sigma.segment(rank, count).squaredNorm();
        return Offer{layer.weight * energy, bitsPerComponent(layer) * static_cast<double>(count), index, count};
    };
    std::priority_queue<Offer, std::vector<Offer>, Later> offers;
    for (std::size_t i = 0; i < layers.size(); ++i)
        if (layers[i].sigma.size() > 0)
            offers.push(next(i));
    while (!offers.empty()) {
        const Offer offer = offers.top();
        offers.pop();
        // A layer whose next step does not fit is finished: what comes after it cannot be had without it.
        if (offer.gain <= 0 || allocation.bits + offer.bits > budgetBits)
            continue;
        allocation.ranks[offer.layer] += offer.count;
        allocation.bits += offer.bits;
        allocation.gain += offer.gain;
        if (allocation.ranks[offer.layer] < layers[offer.layer].sigma.size())
            offers.push(next(offer.layer));
    }
    return allocation;
}

}  // namespace lqer
