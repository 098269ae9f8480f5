// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <QByteArray>
#include <QString>
#include <QStringList>

#include <string>
#include <vector>

#include "core/io/json.h"

namespace lqer::test {

struct Outcome {
    int status = -1;  // exit status; -1 if the program crashed or did not end
    QByteArray out;
    QByteArray err;

    // Lines of `err` without the last line feed.
    int errorLines() const;
    // Standard output as JSON lines. Throws Error if a line is none.
    std::vector<Json> events() const;
    // The one event of this kind; null if there is none.
    Json event(const std::string &kind) const;
};

// Runs lqer with its working directory in `folder`, without a terminal and with nothing to read.
Outcome runProgram(const QString &folder, const QStringList &arguments);

// The demo checkpoint's folder.
QString demoFolder();
// Copies config, tokenizer and weights of the demo to a new folder, without its texts.
void copyDemo(const QString &folder);
// Everything below a folder, sorted: what a failed command must not have added to.
QStringList contents(const QString &folder);
void writeBytes(const QString &path, const QByteArray &bytes);
QByteArray readBytes(const QString &path);

}  // namespace lqer::test
