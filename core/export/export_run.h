// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "core/export/exporter.h"

namespace lqer {

// Where to, and as what.
struct ExportRequest {
    std::string target;     // ExporterInfo::name
    ExportOptions options;  // what is not given has its default
    std::string path;       // the folder (or file, ExporterInfo::singleFile) to be made; its parent is there already
    bool overwrite = false; // an earlier export of this program at `path` may be replaced, nothing else
};

struct ExportResult {
    std::string path;
    std::vector<ExportedFile> files;
    std::uint64_t bytes = 0;
    std::vector<ExportProblem> warnings;
    double seconds = 0;
};

// What is known before anything is computed or written.
struct ExportForecast {
    std::vector<ExportProblem> problems;  // errors first
    std::uint64_t bytes = 0;              // that will be written; 0 if there are errors
};
ExportForecast forecastExport(const ExportSource &source, const ExportRequest &request);

// Everything runExport() refuses before it writes: throws the same errors and changes nothing.
void requireExportable(const Exporter &exporter, const ExportSource &source, const ExportRequest &request,
                       const std::vector<std::string> &untouchable);

// The whole way: checks, free disk, a folder beside `path`, the exporter's files, README.md (the model card), the manifest, every file
// read back and held against what was written, the exporter's own strict reader, and the name at last. If it throws, or the process
// dies, `path` is what it was before. Throws Error(Argument) with the first problem, Error(Conflict) if `path` is there or is one of
// the folders that must not be touched, Error(DiskFull) with needed and free bytes, what the exporter throws, Cancelled.
// untouchable: folders that `path` may neither be, nor lie in, nor hold (the project's; the checkpoint's is always among them).
ExportResult runExport(const Exporter &exporter, const ExportSource &source, const ExportRequest &request,
                       const std::vector<std::string> &untouchable, const TaskContext &context);

// lqer-export.json in the root of every export that is a folder: what it is, of what, and every other file with size and hash. By it an
// export is recognised (--overwrite) and can be verified at any later time.
inline constexpr const char *manifestName = "lqer-export.json";
// What is missing, new or other than the manifest says; empty if all is well. Throws Error if there is no readable manifest.
std::vector<std::string> verifyExport(const std::string &folder, const TaskContext &context);

}  // namespace lqer
