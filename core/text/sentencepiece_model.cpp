// SPDX-License-Identifier: Apache-2.0
#include "core/text/sentencepiece_model.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <span>
#include <tuple>
#include <unordered_map>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/text.h"
#include "core/io/file.h"
#include "core/text/tokenizer_json.h"
#include "core/text/unicode.h"

namespace lqer {

namespace {

constexpr std::uint64_t modelLimit = 64ULL << 20;
constexpr std::size_t longestPiece = 512;  // bytes; sentencepiece's own default is 16 characters
constexpr std::string_view spaceMark = "\xE2\x96\x81";  // U+2581

// Fields of one protobuf message, checked against its end.
class ProtoReader {
public:
    ProtoReader(std::string_view bytes, std::size_t base, const std::string &file) : m_bytes(bytes), m_base(base), m_file(file) {}

    // Moves to the next field; false at the end of the message.
    bool next()
    {
        if (m_at == m_bytes.size())
            return false;
        const std::uint64_t key = varint();
        m_number = key >> 3;
        if (m_number == 0 || m_number > (1U << 29) - 1)
            fail(fmt::format("field number {} is not possible", m_number));
        m_value = 0;
        m_text = {};
        m_wire = key & 7;
        switch (m_wire) {
        case 0: m_value = varint(); break;
        case 1: m_text = take(8); break;
        case 2: m_text = take(varint()); break;
        case 5: m_text = take(4); break;
        default: fail(fmt::format("wire type {} is not possible", m_wire));
        }
        return true;
    }

    std::uint64_t number() const { return m_number; }
    std::uint64_t integer() const { return expect(0), m_value; }
    bool boolean() const { return integer() != 0; }
    std::string_view bytes() const { return expect(2), m_text; }
    std::string text() const
    {
        if (!isValidUtf8(bytes()))
            fail("invalid UTF-8");
        return std::string(m_text);
    }
    float real() const
    {
        expect(5);
        const auto byte = [&](std::size_t i) { return static_cast<std::uint32_t>(static_cast<unsigned char>(m_text[i])); };
        return std::bit_cast<float>(byte(0) | byte(1) << 8 | byte(2) << 16 | byte(3) << 24);
    }
    ProtoReader message() const
    {
        const std::string_view inner = bytes();
        return {inner, m_base + static_cast<std::size_t>(inner.data() - m_bytes.data()), m_file};
    }

    [[noreturn]] void fail(std::string_view message) const
    {
        throw Error(ErrorCode::Format, m_file, fmt::format("byte {}", m_base + m_at), message);
    }

private:
    void expect(std::uint64_t wire) const
    {
        if (m_wire != wire)
            fail(fmt::format("field {} has wire type {}, expected {}", m_number, m_wire, wire));
    }
    std::uint64_t varint()
    {
        std::uint64_t value = 0;
        for (unsigned shift = 0; shift < 64; shift += 7) {
            if (m_at == m_bytes.size())
                fail("ends in the middle of a field (truncated?)");
            const auto byte = static_cast<unsigned char>(m_bytes[m_at++]);
            value |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
            if (byte < 0x80)
                return value;
        }
        fail("number of more than 64 bits");
    }
    std::string_view take(std::uint64_t count)
    {
        if (count > m_bytes.size() - m_at)
            fail(fmt::format("a field of {} bytes does not fit into the {} left (truncated?)", count, m_bytes.size() - m_at));
        const std::string_view taken = m_bytes.substr(m_at, static_cast<std::size_t>(count));
        m_at += taken.size();
        return taken;
    }

    std::string_view m_bytes;
    std::size_t m_base;
    const std::string &m_file;
    std::size_t m_at = 0;
    std::uint64_t m_number = 0;
    std::uint64_t m_wire = 0;
    std::uint64_t m_value = 0;
    std::string_view m_text;
};

SentencePieceModel::Piece readPiece(ProtoReader reader, std::size_t id)
{
    SentencePieceModel::Piece piece;
    while (reader.next()) {
        switch (reader.number()) {
        case 1: piece.text = reader.text(); break;
        case 2: piece.score = reader.real(); break;
        case 3:
            if (reader.integer() < 1 || reader.integer() > 6)
                reader.fail(fmt::format("piece {} has type {}, known are 1 ... 6", id, reader.integer()));
            piece.kind = static_cast<SentencePieceModel::PieceKind>(reader.integer());
            break;
        default: break;
        }
    }
    if (!std::isfinite(piece.score))
        reader.fail(fmt::format("piece {} has a score that is no number", id));
    if (piece.text.size() > longestPiece)
        reader.fail(fmt::format("piece {} has {} bytes, at most {} are allowed", id, piece.text.size(), longestPiece));
    return piece;
}

void readTrainerSpec(ProtoReader reader, SentencePieceModel &model)
{
    // Negative numbers are stored as 64 bits of two's complement.
    const auto id = [&] { return static_cast<std::int64_t>(reader.integer()); };
    while (reader.next()) {
        switch (reader.number()) {
        case 3:
            if (reader.integer() < 1 || reader.integer() > 4)
                reader.fail(fmt::format("model type {} is unknown", reader.integer()));
            model.kind = static_cast<SentencePieceModel::Kind>(reader.integer());
            break;
        case 35: model.byteFallback = reader.boolean(); break;
        case 41: model.bosId = id(); break;
        case 42: model.eosId = id(); break;
        case 43: model.padId = id(); break;
        default: break;
        }
    }
}

void readNormalizerSpec(ProtoReader reader, SentencePieceModel &model)
{
    while (reader.next()) {
        switch (reader.number()) {
        case 1: model.normalization = reader.text(); break;
        case 2: model.hasCharacterMap = !reader.bytes().empty(); break;
        case 3: model.addDummyPrefix = reader.boolean(); break;
        default: break;
        }
    }
}

std::size_t characters(std::string_view text)
{
    return static_cast<std::size_t>(
        std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

// The special token of the model, for what the configuration files leave open.
void fillIn(TokenizerConfig::SpecialToken &special, std::int64_t id, const SentencePieceModel &model)
{
    if (special.stated || id < 0 || id >= static_cast<std::int64_t>(model.pieces.size()))
        return;
    AddedToken token;
    token.content = model.pieces[static_cast<std::size_t>(id)].text;
    token.special = true;
    if (!token.content.empty())
        special = {true, token};
}

}  // namespace

SentencePieceModel parseSentencePieceModel(std::string_view bytes, const std::string &file)
{
    SentencePieceModel model;
    ProtoReader reader(bytes, 0, file);
    bool hasTrainerSpec = false;
    while (reader.next()) {
        switch (reader.number()) {
        case 1: model.pieces.push_back(readPiece(reader.message(), model.pieces.size())); break;
        case 2:
            readTrainerSpec(reader.message(), model);
            hasTrainerSpec = true;
            break;
        case 3: readNormalizerSpec(reader.message(), model); break;
        default: break;
        }
    }
    if (model.pieces.empty())
        throw Error(ErrorCode::Format, file, {}, "vocabulary is empty");
    if (!hasTrainerSpec)  // it stands behind the pieces, and says of what type the model is
        reader.fail("there is no trainer_spec behind the pieces (truncated?)");
    return model;
}

std::vector<BpeMerge> mergesOf(const SentencePieceModel &model)
{
    std::unordered_map<std::string_view, std::size_t> ids;
    for (std::size_t id = 0; id < model.pieces.size(); ++id)
        ids.emplace(model.pieces[id].text, id);

    struct Candidate {
        float score;
        std::size_t leftLength;  // characters
        std::size_t rightLength;
        std::size_t left;  // ids
        std::size_t right;
    };
    std::vector<Candidate> candidates;
    for (const SentencePieceModel::Piece &piece : model.pieces) {
        const std::string_view text = piece.text;
        const std::size_t first = candidates.size();
        std::size_t leftLength = 0;
        const std::size_t length = characters(text);
        for (std::size_t at = 0; at < text.size();) {
            at += characterLength(text[at]);
            ++leftLength;
            const auto left = ids.find(text.substr(0, at));
            if (at >= text.size() || left == ids.end())
                continue;
            const auto right = ids.find(text.substr(at));
            if (right != ids.end())
                candidates.push_back({piece.score, leftLength, length - leftLength, left->second, right->second});
        }
        std::sort(candidates.begin() + static_cast<std::ptrdiff_t>(first), candidates.end(),
                  [](const Candidate &a, const Candidate &b) { return std::tie(a.left, a.right) < std::tie(b.left, b.right); });
    }
    std::stable_sort(candidates.begin(), candidates.end(), [](const Candidate &a, const Candidate &b) {
        return std::tie(a.score, a.leftLength, a.rightLength) > std::tie(b.score, b.leftLength, b.rightLength);
    });
    std::vector<BpeMerge> merges;
    merges.reserve(candidates.size());
    for (const Candidate &candidate : candidates)
        merges.push_back({model.pieces[candidate.left].text, model.pieces[candidate.right].text});
    return merges;
}

TokenizerParts readSentencePieceTokenizer(const std::string &path, TokenizerConfig config)
{
    if (!config.tokenizerClass.empty() && !config.isLlama() && config.tokenizerClass != "PreTrainedTokenizer")
        throw Error(ErrorCode::Unsupported, config.file, "key 'tokenizer_class'",
                    fmt::format("tokenizer.model of a {} is not supported (supported: LlamaTokenizer)",
                                escaped(config.tokenizerClass, 60)));
    const std::string bytes = readTextFile(path, modelLimit);
    const auto head = std::as_bytes(std::span(bytes).first(std::min<std::size_t>(bytes.size(), 512)));
    if (const std::string found = recognisedContent(head); !found.empty())
        throw Error(ErrorCode::Format, path, {}, fmt::format("is {}", found));
    const SentencePieceModel model = parseSentencePieceModel(bytes, path);
    if (model.kind != SentencePieceModel::Kind::Bpe) {
        constexpr std::array<const char *, 5> names{"", "Unigram", "BPE", "Word", "Char"};
        throw Error(ErrorCode::Unsupported, path, {},
                    fmt::format("SentencePiece model of type {} is not supported yet (supported: BPE)",
                                names[static_cast<std::size_t>(model.kind)]));
    }
    if (model.hasCharacterMap)
        throw Error(ErrorCode::Unsupported, path, {},
                    fmt::format("normalization '{}' is not supported (supported: identity)", escaped(model.normalization, 60)));

    TokenizerParts parts(path);
    parts.origin = "tokenizer.model";
    bool hasBytes = model.byteFallback;
    for (std::size_t id = 0; id < model.pieces.size(); ++id) {
        const SentencePieceModel::Piece &piece = model.pieces[id];
        parts.vocabulary.add(piece.text, static_cast<std::int64_t>(id));
        hasBytes = hasBytes || piece.kind == SentencePieceModel::PieceKind::Byte;
        const bool control = piece.kind == SentencePieceModel::PieceKind::Control;
        if (piece.kind == SentencePieceModel::PieceKind::Unknown) {
            parts.bpe.unknownToken = piece.text;
            fillIn(config.unknown, static_cast<std::int64_t>(id), model);
        }
        if (control || piece.kind == SentencePieceModel::PieceKind::UserDefined) {
            AddedToken token;
            token.content = piece.text;
            token.id = static_cast<TokenId>(id);
            token.special = control;
            parts.addedTokens.push_back(std::move(token));
        }
    }
    parts.vocabulary.close();
    parts.merges = mergesOf(model);
    parts.bpe.fuseUnknown = true;
    parts.bpe.byteFallback = hasBytes;

    fillIn(config.bos, model.bosId, model);
    fillIn(config.eos, model.eosId, model);
    fillIn(config.pad, model.padId, model);
    applyTokenizerConfig(parts, config);
    checkVocabularySize(parts, config.modelVocabulary);
    parts.postProcessor = beginAndEnd(parts, config.addBos.value_or(parts.bos.has_value()), config.addEos.value_or(false));

    const bool prefix = config.addPrefixSpace.value_or(model.addDummyPrefix);
    const std::string mark(spaceMark);
    if (prefix && config.legacy)
        parts.normalizer.add([mark](std::string &&text) { return text.empty() ? std::move(text) : mark + text; });
    parts.normalizer.add([mark, space = Pattern::literal(" ")](std::string &&text) { return space.replaceAll(text, mark); });
    if (prefix && !config.legacy)
        parts.preTokenizer.add([mark](const TextPiece &piece, std::vector<TextPiece> &out) {
            out.push_back({piece.atStart ? mark + piece.text : piece.text, Vocabulary::none, piece.atStart});
        });
    parts.decoder = Decoder::sentencePiece(prefix);
    return parts;
}

}  // namespace lqer
