// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QWidget>

#include <map>
#include <span>
#include <string>

#include "core/quant/quantizer.h"

namespace lqer {

// One field for each parameter of a number format, or option of an export, made from its description: what is new there appears here.
class ParameterForm final : public QWidget {
    Q_OBJECT

public:
    // values: those that are stated; the others show their fallback.
    ParameterForm(std::span<const FormatParameter> parameters, const std::map<std::string, FormatValue> &values, QWidget *parent = nullptr);

signals:
    void valueChosen(const std::string &name, const lqer::FormatValue &value);

private:
    QWidget *fieldFor(const FormatParameter &parameter, const FormatValue &value);
};

// "block size" for "block_size".
QString parameterTitle(const FormatParameter &parameter);

}  // namespace lqer
