// SPDX-License-Identifier: Apache-2.0
#include "tests/cli/cli_process.h"

#include <QDir>
#include <QDirIterator>
#include <QFile>
#include <QProcess>
#include <QtTest>

namespace lqer::test {

int Outcome::errorLines() const
{
    return static_cast<int>(err.trimmed().isEmpty() ? 0 : err.trimmed().count('\n') + 1);
}

std::vector<Json> Outcome::events() const
{
    std::vector<Json> events;
    for (const QByteArray &line : out.split('\n'))
        if (!line.isEmpty())
            events.push_back(parseJson(line.toStdString(), "standard output"));
    return events;
}

Json Outcome::event(const std::string &kind) const
{
    for (const Json &event : events())
        if (event.find("event")->asString() == kind)
            return event;
    return {};
}

Outcome runProgram(const QString &folder, const QStringList &arguments)
{
    QProcess process;
    process.setWorkingDirectory(folder);
    process.setStandardInputFile(QProcess::nullDevice());
    process.start(LQER_PROGRAM, arguments);
    Outcome outcome;
    if (!process.waitForFinished(10 * 60 * 1000)) {
        process.kill();
        process.waitForFinished();
        return outcome;
    }
    outcome.status = process.exitStatus() == QProcess::NormalExit ? process.exitCode() : -1;
    outcome.out = process.readAllStandardOutput();
    outcome.err = process.readAllStandardError();
    return outcome;
}

QString demoFolder()
{
    return QStringLiteral(LQER_DEMO);
}

void copyDemo(const QString &folder)
{
    QVERIFY(QDir().mkpath(folder));
    for (const char *name : {"config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"})
        QVERIFY(QFile::copy(demoFolder() + '/' + name, folder + '/' + name));
}

QStringList contents(const QString &folder)
{
    QStringList list;
    QDirIterator files(folder, QDir::AllEntries | QDir::Hidden | QDir::NoDotAndDotDot, QDirIterator::Subdirectories);
    while (files.hasNext())
        list.append(files.next());
    list.sort();
    return list;
}

void writeBytes(const QString &path, const QByteArray &bytes)
{
    QFile::remove(path);
    QFile file(path);
    QVERIFY(file.open(QIODevice::WriteOnly));
    QCOMPARE(file.write(bytes), bytes.size());
}

QByteArray readBytes(const QString &path)
{
    QFile file(path);
    return file.open(QIODevice::ReadOnly) ? file.readAll() : QByteArray();
}

}  // namespace lqer::test
