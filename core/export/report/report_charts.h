// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "core/export/report/report_view.h"

namespace lqer {

// The drawings of a report, as SVG. Empty where there is nothing to draw.

// Whether maps of the blocks take the whole width of the page.
bool isWide(const ReportView &view);

// Perplexity against size: the original model and every comparable run.
std::string runsChart(const ReportView &view);
// Relative error of every layer, block by role; corrected or not. Both with the same colours.
std::string errorMap(const ReportView &view, bool corrected);
// Ranks, block by role.
std::string rankMap(const ReportView &view);
// Layers by falling error, `most` of them from number `first` on, without and with correction.
std::string errorBars(const ReportView &view, std::size_t first, std::size_t most);
// Singular values of the error of one layer, each curve relative to its first: as it is and as the scaling shapes it, with noise edge and rank.
std::string spectrumChart(const LayerView &layer);
// How many layers have which rank.
std::string rankHistogram(const ReportView &view);
// The error of all layers together against a rank that all share.
std::string rankCurve(const ReportView &view);

}  // namespace lqer
