// SPDX-License-Identifier: Apache-2.0
#include "core/export/export_run.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <span>
#include <system_error>

#include <fmt/format.h>

#include "core/base/clock.h"
#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/export/model_card.h"
#include "core/io/atomic_folder.h"
#include "core/io/file.h"
#include "core/recipe/check.h"

namespace lqer {

namespace {

namespace fs = std::filesystem;

constexpr std::int64_t manifestVersion = 1;
constexpr const char *cardName = "README.md";
constexpr std::uint64_t cardBytes = 64 << 10;  // README.md and manifest together are smaller

// Errors first; what holds for many places in the same words is said once.
std::vector<ExportProblem> sortedProblems(const Exporter &exporter, const ExportSource &source, const ExportOptions &options)
{
    std::vector<ExportProblem> problems;
    std::vector<std::size_t> others;
    for (ExportProblem &problem : exporter.check(source, options)) {
        const auto same = std::ranges::find_if(problems, [&](const ExportProblem &known) {
            return known.message == problem.message && known.severity == problem.severity;
        });
        if (same == problems.end()) {
            problems.push_back(std::move(problem));
            others.push_back(0);
        } else {
            ++others[static_cast<std::size_t>(same - problems.begin())];
        }
    }
    for (std::size_t i = 0; i < problems.size(); ++i)
        if (others[i] > 0)
            problems[i].place += fmt::format(" and {} other{}", others[i], others[i] > 1 ? "s" : "");
    std::ranges::stable_partition(problems, [](const ExportProblem &problem) {
        return problem.severity == ExportProblem::Severity::Error;
    });
    return problems;
}

// True if `inner` is `outer` or lies in it; both canonical.
bool liesIn(const fs::path &inner, const fs::path &outer)
{
    const auto [end, rest] = std::mismatch(outer.begin(), outer.end(), inner.begin(), inner.end());
    return end == outer.end();
}

void requireUntouched(const std::string &path, const std::vector<std::string> &untouchable)
{
    const fs::path target = resolvedPath(path);
    for (const std::string &folder : untouchable) {
        const fs::path other = resolvedPath(folder);
        if (liesIn(target, other) || liesIn(other, target))
            throw Error(ErrorCode::Conflict, path, {},
                        fmt::format("is not a place to export to: {} must stay as it is; choose a folder apart from it", folder));
    }
}

// What may be replaced, if that is asked for: an earlier export, by its manifest, and for targets that are one file any regular
// file.
void requireReplaceable(const Exporter &exporter, const ExportRequest &request)
{
    std::error_code ignored;
    const auto refuse = [&](const std::string &message) { throw Error(ErrorCode::Conflict, request.path, {}, message); };
    const fs::file_status found = fs::status(request.path, ignored);
    if (!fs::exists(found))
        return;
    if (!request.overwrite)
        refuse("is there already, and nothing is replaced unless that is asked for");
    if (::access(request.path.c_str(), W_OK) != 0)
        refuse("is write-protected, so it is not replaced");
    if (!exporter.info.singleFile.empty()) {
        if (!fs::is_regular_file(found))
            refuse("is not a file, so it is not replaced by one");
        return;
    }
    if (!fs::is_directory(found))
        refuse("is not a folder, so it is not replaced by one");
    if (!fs::exists(fs::path(request.path) / manifestName, ignored) && !fs::is_empty(request.path, ignored))
        refuse(fmt::format("is no export of this program (it has no {}), so it is not replaced", manifestName));
}

void requireRoom(const std::string &path, std::uint64_t bytes)
{
    std::error_code ignored;
    const fs::path parent = fs::path(resolvedPath(path)).parent_path();
    if (!fs::is_directory(parent, ignored))
        throw Error(ErrorCode::NotFound, path, {}, fmt::format("cannot be written: there is no folder {}", parent.string()));
    const std::uint64_t free = freeDiskSpace(parent.string());
    if (bytes > free)
        throw Error(ErrorCode::DiskFull, path, {},
                    fmt::format("needs {} ({} bytes), {} ({} bytes) are free in {}", formatBytes(static_cast<double>(bytes)),
                                bytes, formatBytes(static_cast<double>(free)), free, parent.string()));
}

Json manifest(const Exporter &exporter, const ExportSource &source, const ExportOptions &options,
              const std::vector<ExportedFile> &files)
{
    Json chosen = Json::object();
    for (const auto &[name, value] : options)
        chosen.set(name, valueText(value));
    Json list = Json::array();
    for (const ExportedFile &file : files)
        list.append(Json::object().set("name", file.name).set("bytes", file.bytes).set("xxh3_128", file.hash));
    return Json::object().set("version", manifestVersion).set("target", exporter.info.name).set("options", std::move(chosen))
        .set("model", source.modelName()).set("fingerprint", source.fingerprint()).set("recipe", source.recipe().toJson())
        .set("files", std::move(list));
}

std::string hashOfFile(const InputFile &file, const TaskContext &context)
{
    Hasher hasher;
    std::vector<std::byte> buffer(4 << 20);
    for (std::uint64_t done = 0; done < file.size();) {
        context.checkStop();
        const auto rest = std::min<std::uint64_t>(buffer.size(), file.size() - done);
        const auto piece = std::span(buffer).first(static_cast<std::size_t>(rest));
        file.read(done, piece);
        hasher.add(piece);
        done += piece.size();
    }
    return hasher.hex();
}

// What of `files` is other on disk, and what is there besides; by relative name.
std::vector<std::string> differences(const std::string &folder, const std::vector<ExportedFile> &files,
                                     const TaskContext &context)
{
    std::vector<std::string> found;
    std::set<std::string> known;
    context.beginStage("verifying", files.size());
    for (const ExportedFile &expected : files) {
        context.setDetail(expected.name);
        known.insert(expected.name);
        try {
            const InputFile file((fs::path(folder) / expected.name).string());
            if (file.size() != expected.bytes)
                found.push_back(fmt::format("{}: has {} bytes, {} were written", escaped(expected.name), file.size(),
                                            expected.bytes));
            else if (hashOfFile(file, context) != expected.hash)
                found.push_back(fmt::format("{}: does not read back as it was written (checksum differs)",
                                            escaped(expected.name)));
        } catch (const Error &error) {
            found.push_back(fmt::format("{}: {}", escaped(expected.name), error.what()));
        }
        context.advance();
    }
    // A link is looked at, not followed: it belongs to no export, wherever it points.
    std::error_code error, ignored;
    fs::recursive_directory_iterator entry(folder, error);
    for (; !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
        const std::string name = entry->path().lexically_relative(folder).string();
        if (!fs::is_directory(entry->symlink_status(ignored)) && !known.contains(name) && name != manifestName)
            found.push_back(fmt::format("{}: does not belong to the export", escaped(name)));
    }
    if (error)
        found.push_back(fmt::format("{}: cannot be listed ({})", escaped(folder), error.message()));
    return found;
}

}  // namespace

ExportForecast forecastExport(const ExportSource &source, const ExportRequest &request)
{
    const Exporter &exporter = findExporter(request.target);
    const ExportOptions options = withDefaults(exporter, request.options);
    ExportForecast forecast{sortedProblems(exporter, source, options), 0};
    if (isUsable(forecast.problems))
        forecast.bytes = exporter.bytes(source, options);
    return forecast;
}

void requireExportable(const Exporter &exporter, const ExportSource &source, const ExportRequest &request,
                       const std::vector<std::string> &untouchable)
{
    const ExportOptions options = withDefaults(exporter, request.options);
    requireUsable(sortedProblems(exporter, source, options), fmt::format("export to {}", exporter.info.name));
    std::vector<std::string> kept = untouchable;
    kept.push_back(source.checkpoint().folder());
    requireUntouched(request.path, kept);
    requireReplaceable(exporter, request);
    requireRoom(request.path, exporter.bytes(source, options) + cardBytes);
}

ExportResult runExport(const Exporter &exporter, const ExportSource &source, const ExportRequest &request,
                       const std::vector<std::string> &untouchable, const TaskContext &context)
{
    const Stopwatch watch;
    requireExportable(exporter, source, request, untouchable);
    const ExportOptions options = withDefaults(exporter, request.options);
    ExportResult result;
    result.path = request.path;
    result.warnings = sortedProblems(exporter, source, options);
    AtomicFolder room(request.path, request.overwrite ? AtomicFolder::Existing::Replace : AtomicFolder::Existing::Refuse);
    ExportFolder folder(room.folder());
    exporter.write(source, options, folder, context);
    source.checkpoint().checkUnchanged();
    if (exporter.card) {
        const std::string name = fs::path(resolvedPath(request.path)).filename().string();
        folder.writeText(cardName, modelCard(exporter, source, options, result.warnings, name));
    }

    if (const auto problems = differences(room.folder(), folder.files(), context); !problems.empty())
        throw Error(ErrorCode::Io, request.path, {}, fmt::format("was not written: {}", problems.front()));
    exporter.verify(source, options, room.folder());
    context.checkStop();
    requireReplaceable(exporter, request);  // hours may have passed: what stands there now is what would be removed
    if (exporter.info.singleFile.empty()) {
        folder.writeJson(manifestName, manifest(exporter, source, options, folder.files()));
        room.commit();
    } else {
        room.commitFile(folder.files().front().name);
    }
    result.files = folder.files();
    for (const ExportedFile &file : result.files)
        result.bytes += file.bytes;
    result.seconds = watch.seconds();
    return result;
}

std::vector<std::string> verifyExport(const std::string &folder, const TaskContext &context)
{
    const std::string path = (fs::path(folder) / manifestName).string();
    const Json json = readJsonFile(path);
    const JsonReader reader(json, path);
    if (const std::int64_t version = reader["version"].integer(1, INT64_MAX); version != manifestVersion)
        throw Error(ErrorCode::Unsupported, path, {},
                    fmt::format("is of version {}, this program knows {}", version, manifestVersion));
    std::vector<ExportedFile> files;
    const JsonReader list = reader["files"];
    for (std::size_t i = 0; i < list.size(); ++i) {
        const JsonReader entry = list.at(i);
        const std::string &name = entry["name"].string();
        const fs::path relative(name);
        if (!relative.is_relative() || !relative.has_filename() || relative.lexically_normal() != relative
            || *relative.begin() == "..")
            entry["name"].fail("is not a path inside the export");
        files.push_back({name, static_cast<std::uint64_t>(entry["bytes"].integer(0, INT64_MAX)), entry["xxh3_128"].string()});
    }
    return differences(folder, files, context);
}

}  // namespace lqer
