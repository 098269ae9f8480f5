// SPDX-License-Identifier: Apache-2.0
#include "app/cli/cost_tables.h"

#include <array>

#include <fmt/format.h>

#include "app/cli/text_table.h"
#include "core/base/text.h"
#include "core/eval/format.h"

namespace lqer::cli {

namespace {

using Align = TextTable::Align;

std::string areaText(const LayerCost &cost)
{
    const std::optional<double> area = cost.area();
    return area ? formatNumber(*area) : "-";
}

}  // namespace

std::string costTable(const std::vector<NamedCost> &costs)
{
    if (costs.empty())
        return {};
    const CostOptions &options = costs.front().cost.options;
    TextTable models({{"model", Align::Left}, {"W", Align::Right, "bits moved"}, {"A, B", Align::Right, "bits moved"}, {"activations", Align::Right, "bits moved"},
                      {"keys, values", Align::Right, "bits moved"}, {"all", Align::Right, "bits moved"}, {"MACs"}, {"area"}, {"area is", Align::Left}});
    TextTable products({{"model", Align::Left}, {"product", Align::Left}, {"operands", Align::Left}, {"MACs"}, {"area of one"}, {"area is", Align::Left}});
    const auto tokens = static_cast<double>(options.tokens);
    for (const NamedCost &named : costs) {
        const LayerCost &total = named.cost.total;
        std::vector<std::string> row{escaped(named.name, 40)};
        for (const double bits : {total.weightBits / tokens, total.correctionBits / tokens, total.activationBits, total.cacheBits, total.movedBits(options.tokens)})
            row.push_back(bits > 0 ? formatQuantity(bits, "bit") : "");
        row.insert(row.end(), {formatQuantity(total.macs(), ""), areaText(total), std::string(toString(total.basis()))});
        models.addRow(std::move(row));
        for (const ProductCount &product : total.products)
            products.addRow({&product == &total.products.front() ? escaped(named.name, 40) : "", std::string(toString(product.kind)),
                             escaped(fmt::format("{} x {}", product.left, product.right), 60), formatQuantity(product.count, ""),
                             product.basis == AreaBasis::Unknown ? "-" : formatNumber(product.area), std::string(toString(product.basis))});
    }
    return fmt::format("Hardware cost of a token: weights read once for {} token{}, attention to {} tokens; values without a format count 16 bits\n\n{}\n{}\n"
                       "Area: of engines that keep up with FP16 ones, FP16 = 1. Published by LQER (ICML 2024): FP16, FP16 x 4-bit fixed point 13.99, layers in MXINT\n"
                       "W4A8 0.3254 and W4A6 0.2287. Derived: m- by n-bit fixed point as (m - 1) (n - 1) units, set by W4A8; W4A6 comes out 1 % too high.\n",
                       options.tokens, options.tokens == 1 ? "" : "s", options.context, models.toString(), products.toString());
}

std::string layerCostTable(const std::vector<NamedCost> &costs)
{
    if (costs.empty())
        return {};
    std::vector<TextTable::Column> columns{{"layer", Align::Left}};
    for (const char *group : {"bits moved by a token", "MACs", "area (FP16 = 1)"})
        for (const NamedCost &named : costs)
            columns.push_back({escaped(named.name, 20), Align::Right, group});
    TextTable table(columns);
    const auto addRows = [&](std::vector<LayerCost> HardwareCost::*list) {
        for (std::size_t i = 0; i < (costs.front().cost.*list).size(); ++i) {
            std::vector<std::string> row{escaped(shortLayerName((costs.front().cost.*list)[i].layer), 60)};
            for (const NamedCost &named : costs)
                row.push_back(formatQuantity((named.cost.*list)[i].movedBits(named.cost.options.tokens), "bit"));
            for (const NamedCost &named : costs)
                row.push_back(formatQuantity((named.cost.*list)[i].macs(), ""));
            for (const NamedCost &named : costs)
                row.push_back(areaText((named.cost.*list)[i]));
            table.addRow(std::move(row));
        }
    };
    addRows(&HardwareCost::layers);
    table.addRule();
    addRows(&HardwareCost::attention);
    return table.toString();
}

}  // namespace lqer::cli
