// SPDX-License-Identifier: Apache-2.0
#include "core/io/yaml.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <sstream>
#include <vector>

#include <fmt/format.h>
#include <re2/re2.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/text.h"
#include "core/io/file.h"
#include "core/io/text_encoding.h"

namespace lqer {

namespace {

constexpr std::size_t mostBytes = 1 << 20;
constexpr std::size_t mostValues = 100'000;
constexpr std::size_t deepest = 64;
constexpr std::size_t longestNumber = 400;  // characters of a plain scalar that may be one
constexpr std::string_view tagPrefix = "tag:yaml.org,2002:";

[[noreturn]] void fail(std::string_view file, int line, std::string_view message)
{
    throw Error(ErrorCode::Format, file, fmt::format("line {}", line + 1), message);
}

// The words of YAML 1.1 as PyYAML resolves them. Its numbers: binary, octal ("0" in front), decimal and hexadecimal, "_" between
// digits, parts of sixty between ":"; a fraction needs its point, an exponent its sign.
enum class ScalarKind { Null, True, False, Integer, Float, NotFinite, Text };

ScalarKind kindOf(const std::string &text)
{
    static const RE2 null("~|null|Null|NULL|");
    static const RE2 yes("yes|Yes|YES|true|True|TRUE|on|On|ON");
    static const RE2 no("no|No|NO|false|False|FALSE|off|Off|OFF");
    static const RE2 integer("[-+]?(0b[0-1_]+|0[0-7_]+|0|[1-9][0-9_]*|0x[0-9a-fA-F_]+|[1-9][0-9_]*(:[0-5]?[0-9])+)");
    static const RE2 real("[-+]?[0-9][0-9_]*\\.[0-9_]*([eE][-+][0-9]+)?|\\.[0-9][0-9_]*([eE][-+][0-9]+)?|[-+]?[0-9][0-9_]*(:[0-5]"
                          "?[0-9])+\\.[0-9_]*");
    static const RE2 notFinite("[-+]?\\.(inf|Inf|INF)|\\.(nan|NaN|NAN)");
    if (text.size() > longestNumber)
        return ScalarKind::Text;
    for (const auto &[pattern, kind] : {std::pair(&null, ScalarKind::Null), std::pair(&yes, ScalarKind::True),
                                        std::pair(&no, ScalarKind::False), std::pair(&integer, ScalarKind::Integer),
                                        std::pair(&real, ScalarKind::Float), std::pair(&notFinite, ScalarKind::NotFinite)})
        if (RE2::FullMatch(text, *pattern))
            return kind;
    return ScalarKind::Text;
}

// The number that `text`, of these kinds, says; nullopt beyond a double's range.
std::optional<Json> numberFrom(std::string text)
{
    std::erase(text, '_');
    const bool negative = text.front() == '-';
    if (negative || text.front() == '+')
        text.erase(0, 1);
    int base = 10;
    if (text.size() > 1 && text[0] == '0' && text.find_first_of(".:") == std::string::npos) {
        base = text[1] == 'x' ? 16 : text[1] == 'b' ? 2 : 8;
        text.erase(0, base == 8 ? 1 : 2);
    }
    const bool isInteger = text.find('.') == std::string::npos;
    double value = 0;  // parts of sixty, the last one the ones
    std::uint64_t whole = 0;  // the same, exact
    bool isExact = isInteger;
    for (std::size_t at = 0; at <= text.size();) {
        const std::size_t end = std::min(text.find(':', at), text.size());
        const char *first = text.data() + at, *last = text.data() + end;
        if (isInteger) {
            std::uint64_t part = 0;
            const auto read = std::from_chars(first, last, part, base);
            isExact = isExact && read.ec == std::errc() && read.ptr == last
                && !__builtin_mul_overflow(whole, std::uint64_t(60), &whole) && !__builtin_add_overflow(whole, part, &whole);
        }
        double part = 0;
        if (base == 10) {
            if (const auto read = std::from_chars(first, last, part); read.ec != std::errc() || read.ptr != last)
                return std::nullopt;
            value = value * 60 + part;
        }
        at = end + 1;
    }
    const std::uint64_t limit = std::uint64_t(std::numeric_limits<std::int64_t>::max()) + (negative ? 1 : 0);
    if (isExact && whole <= limit)
        return Json(negative ? -static_cast<std::int64_t>(whole - 1) - 1 : static_cast<std::int64_t>(whole));
    if (base != 10 || !std::isfinite(value))
        return std::nullopt;
    return Json(negative ? -value : value);
}

// How much a copy of `value` adds.
void measure(const Json &value, std::size_t &values, std::size_t &levels)
{
    ++values;
    std::size_t below = 0;
    const auto member = [&](const Json &child) {
        std::size_t depth = 0;
        measure(child, values, depth);
        below = std::max(below, depth);
    };
    if (value.isArray())
        std::ranges::for_each(value.asArray(), member);
    else if (value.isObject())
        for (const auto &[key, child] : value.asObject())
            member(child);
    levels = value.isArray() || value.isObject() ? below + 1 : 0;
}

// Receives the parser's events and builds the value. Events, because the library's own node type keeps duplicate keys, loses
// lines and shares what aliases point to.
class Builder final : public YAML::EventHandler {
public:
    explicit Builder(std::string_view file) : m_file(file) { }

    Json root;

    void OnDocumentStart(const YAML::Mark &mark) override
    {
        m_line = mark.line;
        if (m_begun)
            fail("a second document begins; one is expected");
        m_begun = true;
    }
    void OnDocumentEnd() override { }
    void OnNull(const YAML::Mark &mark, YAML::anchor_t anchor) override
    {
        m_line = mark.line;
        scalar(Json(), "~", true, anchor);
    }
    void OnAlias(const YAML::Mark &mark, YAML::anchor_t anchor) override
    {
        m_line = mark.line;
        const auto known = m_anchors.find(anchor);
        if (known == m_anchors.end())
            fail("an alias to what it is part of");
        if (isKeyNext())
            fail("an alias cannot be a key");
        std::size_t values = 0;
        std::size_t levels = 0;
        measure(known->second, values, levels);
        count(values);
        if (m_open.size() + levels > deepest)
            fail(fmt::format("nested deeper than {}", deepest));
        place(known->second, 0);
    }
    void OnScalar(const YAML::Mark &mark, const std::string &tag, YAML::anchor_t anchor, const std::string &text) override
    {
        m_line = mark.line;
        if (!isValidUtf8(text))
            fail("an escape that is no character");
        scalar(resolved(tag, text), text, tag == "?", anchor);
    }
    void OnSequenceStart(const YAML::Mark &mark, const std::string &tag, YAML::anchor_t anchor,
                         YAML::EmitterStyle::value) override
    {
        open(mark, tag, "seq", anchor, Json::array());
    }
    void OnSequenceEnd() override { close(); }
    void OnMapStart(const YAML::Mark &mark, const std::string &tag, YAML::anchor_t anchor, YAML::EmitterStyle::value) override
    {
        open(mark, tag, "map", anchor, Json::object());
    }
    void OnMapEnd() override { close(); }

private:
    struct Container {
        Json value;
        YAML::anchor_t anchor = 0;
        std::optional<std::string> key;  // of an object: read, its value not yet
        bool isMerge = false;  // that key is "<<"
        std::map<std::string, int, std::less<>> lines;  // of an object's own keys
        std::vector<Json> merged;  // what "<<" brought, in the order of the file
    };

    [[noreturn]] void fail(std::string_view message) const { lqer::fail(m_file, m_line, message); }
    bool isKeyNext() const { return !m_open.empty() && m_open.back().value.isObject() && !m_open.back().key; }
    void count(std::size_t values)
    {
        m_values += values;
        if (m_values > mostValues)
            fail(fmt::format("more than {} values, copies by aliases counted", mostValues));
    }

    Json resolved(const std::string &tag, const std::string &text) const
    {
        std::string wanted = tag.starts_with(tagPrefix) ? tag.substr(tagPrefix.size()) : tag;
        ScalarKind kind = ScalarKind::Text;
        if (wanted == "?") {
            kind = kindOf(text);
        } else if (wanted != "!" && wanted != "str") {
            kind = kindOf(text);
            const bool fits = wanted == "null" ? kind == ScalarKind::Null
                : wanted == "bool"             ? kind == ScalarKind::True || kind == ScalarKind::False
                : wanted == "int"              ? kind == ScalarKind::Integer
                : wanted == "float" ? kind == ScalarKind::Float || kind == ScalarKind::Integer || kind == ScalarKind::NotFinite
                                    : false;
            if (!fits)
                fail(fmt::format("the tag '{}' has no place here", escaped(tag, 100)));
        }
        switch (kind) {
        case ScalarKind::Null:
            return {};
        case ScalarKind::True:
            return Json(true);
        case ScalarKind::False:
            return Json(false);
        case ScalarKind::NotFinite:
            fail(fmt::format("'{}' is not a finite number", text));
        case ScalarKind::Text:
            return Json(text);
        case ScalarKind::Integer:
        case ScalarKind::Float:
            break;
        }
        const std::optional<Json> number = numberFrom(text);
        if (!number)
            fail(fmt::format("'{}' is out of range", escaped(text, 60)));
        return wanted == "float" ? Json(number->asNumber()) : *number;
    }

    void scalar(Json value, const std::string &text, bool isPlain, YAML::anchor_t anchor)
    {
        if (!isKeyNext()) {
            count(1);
            place(std::move(value), anchor);
            return;
        }
        if (text.find('\0') != std::string::npos)
            fail(fmt::format("NUL in key '{}'", escaped(text)));
        Container &object = m_open.back();
        if (const auto [first, isNew] = object.lines.emplace(text, m_line); !isNew)
            fail(fmt::format("duplicate key '{}', first on line {}", escaped(text), first->second + 1));
        if (anchor != 0)
            m_anchors[anchor] = std::move(value);
        object.key = text;
        object.isMerge = isPlain && text == "<<";
    }

    void open(const YAML::Mark &mark, const std::string &tag, std::string_view kind, YAML::anchor_t anchor, Json container)
    {
        m_line = mark.line;
        if (tag != "?" && tag != "!" && tag != std::string(tagPrefix) + std::string(kind))
            fail(fmt::format("the tag '{}' has no place here", escaped(tag, 100)));
        if (isKeyNext())
            fail("a list or mapping cannot be a key");
        count(1);
        if (m_open.size() == deepest)
            fail(fmt::format("nested deeper than {}", deepest));
        m_open.push_back({.value = std::move(container), .anchor = anchor});
    }
    void close()
    {
        LQER_ASSERT(!m_open.empty());
        Container done = std::move(m_open.back());
        m_open.pop_back();
        if (!done.merged.empty())
            mergeInto(done);
        place(std::move(done.value), done.anchor);
    }

    // What merge keys brought stands in front of the object's own keys, which win; of two the first wins.
    static void mergeInto(Container &object)
    {
        Json::Object members;
        for (const Json &source : object.merged)
            for (const auto &member : source.asObject())
                if (object.lines.emplace(member.first, 0).second)
                    members.push_back(member);
        Json::Object &own = object.value.asObject();
        members.insert(members.end(), std::make_move_iterator(own.begin()), std::make_move_iterator(own.end()));
        own = std::move(members);
    }

    void place(Json value, YAML::anchor_t anchor)
    {
        if (anchor != 0)
            m_anchors[anchor] = value;
        if (m_open.empty()) {
            root = std::move(value);
            return;
        }
        Container &parent = m_open.back();
        if (parent.value.isArray()) {
            parent.value.append(std::move(value));
            return;
        }
        if (parent.isMerge) {
            Json::Array sources = value.isArray() ? std::move(value.asArray()) : Json::Array{std::move(value)};
            for (Json &source : sources) {
                if (!source.isObject())
                    fail("'<<' takes a mapping or a list of mappings");
                parent.merged.push_back(std::move(source));
            }
        } else {
            parent.value.asObject().emplace_back(std::move(*parent.key), std::move(value));
        }
        parent.key.reset();
        parent.isMerge = false;
    }

    std::string_view m_file;
    int m_line = 0;
    bool m_begun = false;
    std::size_t m_values = 0;
    std::vector<Container> m_open;  // not yet closed, outermost first
    std::map<YAML::anchor_t, Json> m_anchors;
};

void requirePrintable(std::string_view text, std::string_view file)
{
    const auto bad = std::ranges::find_if(
        text, [](unsigned char c) { return (c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7f; });
    if (bad != text.end())
        fail(file, static_cast<int>(std::count(text.begin(), bad, '\n')),
             fmt::format("control character 0x{:02x}", static_cast<unsigned char>(*bad)));
}

// -- writing --

std::string quoted(const std::string &text)
{
    static const RE2 plain("[A-Za-z_/][A-Za-z0-9_./-]*");
    if (RE2::FullMatch(text, plain) && kindOf(text) == ScalarKind::Text)
        return text;
    if (std::ranges::all_of(text, [](unsigned char c) { return c >= 0x20 && c < 0x7f; })) {
        std::string out = "'";
        for (const char c : text)
            out += c == '\'' ? std::string("''") : std::string(1, c);
        return out + "'";
    }
    // A JSON string is a double-quoted scalar, but for what YAML takes for the end of a line or refuses.
    std::string out = Json(text).dump();
    for (const auto &[character, escape] :
         {std::pair("\xe2\x80\xa8", "\\u2028"), std::pair("\xe2\x80\xa9", "\\u2029"), std::pair("\xc2\x85", "\\x85"),
          std::pair("\x7f", "\\x7f"), std::pair("\xef\xbb\xbf", "\\ufeff")})
        for (std::size_t at = 0; (at = out.find(character, at)) != std::string::npos;)
            out.replace(at, std::string_view(character).size(), escape);
    return out;
}

std::string scalarText(const Json &value)
{
    if (value.isString())
        return quoted(value.asString());
    if (value.isNumber() && !value.isInteger()) {
        const double number = value.asNumber();
        if (!std::isfinite(number))
            return std::isnan(number) ? ".nan" : number < 0 ? "-.inf" : ".inf";
        std::string digits = value.dump();
        if (const std::size_t exponent = digits.find('e'); exponent != std::string::npos && digits.find('.') == std::string::npos)
            digits.insert(exponent, ".0");  // "1e-05" would be a text
        return digits;
    }
    return value.dump();
}

// Lines of a container, each but the first with `indent` spaces in front: the first goes on behind what its parent has written.
void writeBlock(const Json &value, std::size_t indent, std::string &out)
{
    const std::string margin(indent, ' ');
    bool first = true;
    const auto begin = [&](const std::string &head) {
        out += first ? head : margin + head;
        first = false;
    };
    const auto isEmpty = [](const Json &child) {
        return child.isArray() ? child.asArray().empty() : child.isObject() && child.asObject().empty();
    };
    const auto isBlock = [&](const Json &child) { return (child.isArray() || child.isObject()) && !isEmpty(child); };
    const auto leaf
        = [&](const Json &child) { return isEmpty(child) ? std::string(child.isArray() ? "[]" : "{}") : scalarText(child); };
    if (!isBlock(value)) {
        out += fmt::format("{}\n", leaf(value));
        return;
    }
    if (value.isArray()) {
        for (const Json &element : value.asArray()) {
            begin("- ");
            writeBlock(element, indent + 2, out);
        }
        return;
    }
    for (const auto &[key, member] : value.asObject()) {
        const std::string name = quoted(key);
        begin(name.size() > 120 ? fmt::format("? {}\n{}:", name, margin) : fmt::format("{}:", name));
        if (!isBlock(member)) {
            out += fmt::format(" {}\n", leaf(member));
            continue;
        }
        const std::size_t inner = indent + 2;
        out += fmt::format("\n{:{}}", "", inner);
        writeBlock(member, inner, out);
    }
}

}  // namespace

Json parseYaml(std::string_view text, std::string_view file)
{
    if (text.size() > mostBytes)
        throw Error(ErrorCode::Format, file, {},
                    fmt::format("has {}, at most {} can be read", formatBytes(static_cast<double>(text.size())),
                                formatBytes(static_cast<double>(mostBytes))));
    refuseOtherEncodings(text, file);
    requirePrintable(text, file);
    // The library takes the end of the text for the end of a quoted scalar, but not the end of the document.
    std::istringstream stream(fmt::format("{}{}...\n", text, text.ends_with('\n') ? "" : "\n"));
    Builder builder(file);
    try {
        YAML::Parser parser(stream);
        while (parser.HandleNextDocument(builder)) { }
    } catch (const YAML::Exception &error) {
        fail(file, std::max(error.mark.line, 0), escaped(error.msg));
    }
    return std::move(builder.root);
}

Json readYamlFile(const std::string &path)
{
    return parseYaml(readTextFile(path, mostBytes), path);
}

std::string toYaml(const Json &value)
{
    std::string out;
    writeBlock(value, 0, out);
    return out;
}

}  // namespace lqer
