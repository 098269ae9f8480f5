// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/text/recipe_text.h"

#include <QCoreApplication>
#include <QStringList>

#include <algorithm>
#include <map>

#include "widgets/controls/format_editor.h"

namespace lqer {

namespace {

QString byFrequency(const std::map<QString, int> &counts)
{
    std::vector<std::pair<QString, int>> ordered(counts.begin(), counts.end());
    std::stable_sort(ordered.begin(), ordered.end(), [](const auto &a, const auto &b) { return a.second > b.second; });
    QStringList words;
    for (const auto &[word, count] : ordered)
        words << word;
    return words.join(QStringLiteral(" + "));
}

}  // namespace

QString recipeText(const QuantizationRecipe &recipe, std::span<const LinearSite> sites)
{
    std::map<QString, int> formats;
    std::map<QString, int> scalings;
    Index least = 0;
    Index most = 0;
    for (const LinearSite &site : sites) {
        const LayerPlan plan = recipe.planFor(site);
        if (!plan.quantize)
            continue;
        ++formats[formatText(plan.formats.weight)];
        if (plan.rank <= 0)
            continue;
        ++scalings[QString::fromStdString(std::string(toString(plan.scaling)))];
        least = least == 0 ? plan.rank : std::min(least, plan.rank);
        most = std::max(most, plan.rank);
    }
    const auto tr = [](const char *text) { return QCoreApplication::translate("RecipeText", text); };
    if (formats.empty())
        return tr("not quantized");
    if (scalings.empty())
        return tr("%1, no correction").arg(byFrequency(formats));
    const QString ranks = least == most ? QString::number(most) : QStringLiteral("%1-%2").arg(least).arg(most);
    return tr("%1, %2, rank %3").arg(byFrequency(formats), byFrequency(scalings), ranks);
}

}  // namespace lqer
