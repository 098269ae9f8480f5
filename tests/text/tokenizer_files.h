// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <QDir>
#include <QFile>
#include <QTemporaryDir>
#include <QtTest>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/log.h"
#include "core/io/json.h"
#include "core/text/tokenizer.h"

namespace lqer::test {

inline void writeFile(const std::string &path, std::string_view content)
{
    QFile file(QString::fromStdString(path));
    QVERIFY(file.open(QIODevice::WriteOnly));
    QCOMPARE(file.write(content.data(), static_cast<qint64>(content.size())), static_cast<qint64>(content.size()));
}

// A folder that vanishes with the test, to be filled with a tokenizer's files.
class TokenizerFolder {
public:
    std::string path(const char *name = "") const { return m_folder.filePath(name).toStdString(); }
    TokenizerFolder &write(const char *name, std::string_view content)
    {
        writeFile(path(name), content);
        return *this;
    }
    TokenizerFolder &writeJson(const char *name, const Json &json) { return write(name, json.dump()); }
    TokenizerFolder &copy(const std::string &from, const char *name)
    {
        if (!QFile::copy(QString::fromStdString(from), m_folder.filePath(name)))
            qFatal("cannot copy %s", from.c_str());
        return *this;
    }
    std::unique_ptr<Tokenizer> load() const { return loadTokenizer(m_folder.path().toStdString()); }

private:
    QTemporaryDir m_folder;
};

// {"token": id, ...} with ids from 0.
inline Json vocabulary(const std::vector<std::string> &tokens)
{
    Json vocab = Json::object();
    for (std::size_t i = 0; i < tokens.size(); ++i)
        vocab.set(tokens[i], static_cast<std::int64_t>(i));
    return vocab;
}

inline Json list(const std::vector<std::string> &items)
{
    Json json = Json::array();
    for (const std::string &item : items)
        json.append(item);
    return json;
}

// A tokenizer.json with this vocabulary and these merges ("a b") and nothing around the model.
inline Json bpeFile(const std::vector<std::string> &tokens, const std::vector<std::string> &merges)
{
    Json model = Json::object();
    model.set("type", "BPE").set("vocab", vocabulary(tokens)).set("merges", list(merges));
    Json file = Json::object();
    file.set("version", "1.0").set("model", std::move(model));
    return file;
}

inline Json parse(std::string_view text)
{
    return parseJson(text, "test");
}

// Warnings while it lives.
class Warnings {
public:
    Warnings()
    {
        setLogSink([this](LogLevel level, const std::string &message) {
            if (level == LogLevel::Warning)
                m_text += message + "\n";
        });
    }
    ~Warnings() { setLogSink({}); }
    Warnings(const Warnings &) = delete;
    Warnings &operator=(const Warnings &) = delete;
    bool has(const char *text) const { return m_text.find(text) != std::string::npos; }
    const std::string &text() const { return m_text; }

private:
    std::string m_text;
};

using Ids = std::vector<TokenId>;

inline Ids idsOf(const Json &json)
{
    Ids ids;
    for (const Json &id : json.asArray())
        ids.push_back(static_cast<TokenId>(id.asInteger()));
    return ids;
}

inline QString shown(const Ids &ids)
{
    QString text;
    for (const TokenId id : ids)
        text += QString::number(id) + ' ';
    return text;
}

}  // namespace lqer::test

#define COMPARE_IDS(actual, expected) QCOMPARE(lqer::test::shown(actual), lqer::test::shown(expected))
