// SPDX-License-Identifier: Apache-2.0
#include "core/text/pattern.h"

#include <array>
#include <new>
#include <optional>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/text/unicode.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

namespace lqer {

namespace {

constexpr std::size_t longestExpression = 8192;
// Backtracking steps from one starting point. A legitimate expression needs about as many as the text has characters.
constexpr std::uint32_t mostSteps = 100'000'000;
constexpr std::size_t jitStackBytes = 8U << 20;

constexpr std::uint32_t compileOptions = PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C;

struct Deleter {
    void operator()(pcre2_code *p) const { pcre2_code_free(p); }
    void operator()(pcre2_compile_context *p) const { pcre2_compile_context_free(p); }
    void operator()(pcre2_match_context *p) const { pcre2_match_context_free(p); }
    void operator()(pcre2_match_data *p) const { pcre2_match_data_free(p); }
    void operator()(pcre2_jit_stack *p) const { pcre2_jit_stack_free(p); }
};
template <typename T>
using Owned = std::unique_ptr<T, Deleter>;

template <typename T>
Owned<T> owned(T *pointer)
{
    if (!pointer)
        throw std::bad_alloc();
    return Owned<T>(pointer);
}

struct CompileResult {
    Owned<pcre2_code> code;
    int error = 0;
    std::size_t at = 0;
};

CompileResult compile(std::string_view expression)
{
    const auto context = owned(pcre2_compile_context_create(nullptr));
    pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
    CompileResult result;
    result.code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(expression.data()), expression.size(), compileOptions,
                                    &result.error, &result.at, context.get()));
    return result;
}

// Ruby's syntax for PCRE2. nullopt with `refused` set: what has no equivalent.
class Translator {
public:
    explicit Translator(std::string_view expression) : m_in(expression) {}

    std::string_view refused() const { return m_refused; }

    std::optional<std::string> translate()
    {
        while (m_at < m_in.size() && m_refused.empty()) {
            if (m_in[m_at] == '\\')
                escape();
            else if (m_inClass)
                classCharacter();
            else
                plainCharacter();
        }
        return m_refused.empty() ? std::optional(m_out) : std::nullopt;
    }

private:
    bool startsWith(std::string_view text) const { return m_in.substr(m_at, text.size()) == text; }
    void copy(std::size_t count)
    {
        m_out += m_in.substr(m_at, count);
        m_at += count;
    }
    void replace(std::size_t count, std::string_view with)
    {
        m_out += with;
        m_at += count;
    }

    void escape()
    {
        // PCRE2's own \s takes U+180E for white space and its \w leaves out marks and connectors.
        constexpr std::string_view word = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}";
        const char letter = m_at + 1 < m_in.size() ? m_in[m_at + 1] : '\0';
        switch (letter) {
        case 's': replace(2, "\\p{White_Space}"); break;
        case 'S': replace(2, "\\P{White_Space}"); break;
        case 'h': replace(2, "\\p{ASCII_Hex_Digit}"); break;
        case 'H': replace(2, "\\P{ASCII_Hex_Digit}"); break;
        case 'w': replace(2, m_inClass ? std::string(word) : fmt::format("[{}]", word)); break;
        case 'W':
            if (m_inClass)
                m_refused = "\\W inside [...]";
            replace(2, fmt::format("[^{}]", word));
            break;
        case 'p':
        case 'P': property(); break;
        default: copy(2);
        }
    }

    // \p{Han} is the script in Ruby and the script extensions in PCRE2, which writes the script \p{sc:Han}.
    void property()
    {
        const std::size_t close = m_in.find('}', m_at);
        if (m_at + 2 >= m_in.size() || m_in[m_at + 2] != '{' || close == std::string_view::npos) {
            copy(2);
            return;
        }
        const std::string_view name = m_in.substr(m_at + 3, close - m_at - 3);
        const std::string script = fmt::format("{}sc:{}", name.starts_with('^') ? "^" : "", name.substr(name.starts_with('^')));
        const std::string asScript = fmt::format("\\{}{{{}}}", m_in[m_at + 1], script);
        if (compile(asScript).code)
            replace(close + 1 - m_at, asScript);
        else
            copy(close + 1 - m_at);
    }

    void classCharacter()
    {
        if (startsWith("[:")) {
            const std::size_t close = m_in.find(":]", m_at);
            copy(close == std::string_view::npos ? 2 : close + 2 - m_at);
        } else if (m_in[m_at] == '[') {
            m_refused = "[...] inside [...]";
        } else if (startsWith("&&")) {
            m_refused = "&& inside [...]";
        } else {
            if (m_in[m_at] == ']')
                m_inClass = false;
            copy(1);
        }
    }

    void plainCharacter()
    {
        if (m_in[m_at] == '[') {
            m_inClass = true;
            copy(1);
            if (m_at < m_in.size() && m_in[m_at] == '^')
                copy(1);
            if (m_at < m_in.size() && m_in[m_at] == ']')  // the first ] stands for itself
                copy(1);
        } else if (startsWith("(*")) {
            m_refused = "(*";
        } else if (startsWith("(?")) {
            options();
        } else if (startsWith("}+") && closesInterval()) {
            m_refused = "{n,m}+";  // greedy twice in Ruby, possessive in PCRE2
        } else {
            copy(1);
        }
    }

    // (?m) lets . match line feeds in Ruby; PCRE2 writes (?s).
    void options()
    {
        copy(2);
        std::size_t end = m_at;
        while (end < m_in.size() && std::string_view("imx-").find(m_in[end]) != std::string_view::npos)
            ++end;
        if (end == m_in.size() || (m_in[end] != ':' && m_in[end] != ')'))
            return;
        for (; m_at < end; ++m_at)
            m_out += m_in[m_at] == 'm' ? 's' : m_in[m_at];
    }

    bool closesInterval() const
    {
        const std::size_t open = m_in.rfind('{', m_at);
        if (open == std::string_view::npos || open + 1 == m_at)
            return false;
        return m_in.substr(open + 1, m_at - open - 1).find_first_not_of("0123456789,") == std::string_view::npos;
    }

    std::string_view m_in;
    std::size_t m_at = 0;
    bool m_inClass = false;
    std::string m_out;
    std::string m_refused;
};

// What one thread needs for matching; a PCRE2 match context is not shared between threads.
struct MatchResources {
    Owned<pcre2_match_context> context = owned(pcre2_match_context_create(nullptr));
    Owned<pcre2_match_data> data = owned(pcre2_match_data_create(1, nullptr));
    Owned<pcre2_jit_stack> stack = owned(pcre2_jit_stack_create(32U << 10, jitStackBytes, nullptr));

    MatchResources()
    {
        pcre2_set_match_limit(context.get(), mostSteps);
        pcre2_jit_stack_assign(context.get(), nullptr, stack.get());
    }
};

std::string errorText(int code)
{
    std::array<PCRE2_UCHAR, 256> buffer{};
    pcre2_get_error_message(code, buffer.data(), buffer.size());
    return reinterpret_cast<const char *>(buffer.data());
}

}  // namespace

struct Pattern::Code {
    Owned<pcre2_code> code;
    std::string expression;
};

Pattern Pattern::literal(std::string text)
{
    Pattern pattern;
    pattern.m_literal = std::move(text);
    return pattern;
}

Pattern Pattern::regex(const std::string &expression, const JsonReader &place)
{
    if (expression.size() > longestExpression)
        place.fail(fmt::format("pattern too large: {} bytes, at most {}", expression.size(), longestExpression));
    Translator translator(expression);
    const std::optional<std::string> translated = translator.translate();
    if (!translated)
        throw Error(ErrorCode::Unsupported, place.file(), fmt::format("key '{}'", place.path()),
                    fmt::format("pattern has {}, which is not supported", translator.refused()));
    CompileResult result = compile(*translated);
    if (!result.code) {
        // The place in what the file has, not in what it became.
        const CompileResult original = compile(expression);
        if (original.code)
            place.fail(fmt::format("invalid pattern: {}", errorText(result.error)));
        constexpr int tooLarge = 120;  // pcre2_compile's "regular expression is too large"
        if (original.error == tooLarge)
            place.fail("pattern too large");
        place.fail(fmt::format("invalid pattern at char {}: {}", original.at, errorText(original.error)));
    }
    // Without the just-in-time compiler (a processor it does not know) the interpreter gives the same matches.
    pcre2_jit_compile(result.code.get(), PCRE2_JIT_COMPLETE);
    Pattern pattern;
    pattern.m_code = std::make_shared<const Code>(Code{std::move(result.code), expression});
    return pattern;
}

Pattern Pattern::fromJson(const JsonReader &reader)
{
    if (reader.has("Regex"))
        return regex(reader["Regex"].string(), reader["Regex"]);
    const std::string &text = reader["String"].string();
    if (text.empty())
        reader["String"].fail("must not be empty");
    return literal(text);
}

std::vector<TextRange> Pattern::matches(std::string_view text) const
{
    std::vector<TextRange> found;
    if (!m_code) {
        const std::size_t length = m_literal.size();
        for (std::size_t at = text.find(m_literal); at != std::string_view::npos; at = text.find(m_literal, at + length))
            found.push_back({at, at + length});
        return found;
    }
    thread_local MatchResources resources;
    const auto *subject = reinterpret_cast<PCRE2_SPTR>(text.data());
    const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(resources.data.get());
    std::size_t start = 0;
    while (start <= text.size()) {
        int result = pcre2_match(m_code->code.get(), subject, text.size(), start, PCRE2_NO_UTF_CHECK, resources.data.get(),
                                 resources.context.get());
        if (result == PCRE2_ERROR_JIT_STACKLIMIT)
            result = pcre2_match(m_code->code.get(), subject, text.size(), start, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT,
                                 resources.data.get(), resources.context.get());
        if (result == PCRE2_ERROR_NOMATCH)
            break;
        if (result < 0)
            throw Error(ErrorCode::Unsupported, {}, fmt::format("byte {} of the text", start),
                        fmt::format("pattern '{}' cannot be matched: {}", m_code->expression, errorText(result)));
        const TextRange range{ends[0], ends[1]};
        const bool empty = range.begin == range.end;
        if (!empty || found.empty() || found.back().end != range.begin)
            found.push_back(range);
        start = range.end;
        if (empty)
            start += start < text.size() ? characterLength(text[start]) : 1;
    }
    return found;
}

std::string Pattern::replaceAll(std::string_view text, std::string_view replacement) const
{
    std::string result;
    result.reserve(text.size() + text.size() / 4);
    std::size_t done = 0;
    for (const TextRange &match : matches(text)) {
        result += text.substr(done, match.begin - done);
        result += replacement;
        done = match.end;
    }
    result += text.substr(done);
    return result;
}

}  // namespace lqer
