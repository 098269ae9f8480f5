// SPDX-License-Identifier: Apache-2.0
#include "core/pipeline/scale_dictionary.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/base/text.h"
#include "core/io/safetensors.h"

namespace lqer {

namespace {

VectorF64 readScale(const SafetensorsFile &file, const LinearSite &site)
{
    const std::string name = site.name + ".scale";
    const auto fail = [&](ErrorCode code, const std::string &message) {
        throw Error(code, file.path(), fmt::format("tensor '{}'", name), message);
    };
    const TensorInfo *const info = file.find(name);
    if (!info)
        fail(ErrorCode::NotFound, "is not there");
    if (info->shape != Shape{site.in})
        fail(ErrorCode::Shape, fmt::format("has shape {}, expected [{}]", toString(info->shape), site.in));
    VectorF64 scale(site.in);
    file.read(*info).copyTo(std::span<double>(scale.data(), static_cast<std::size_t>(scale.size())));
    for (Index i = 0; i < scale.size(); ++i)
        if (!(scale[i] > 0) || !std::isfinite(scale[i]))
            fail(ErrorCode::Numeric, fmt::format("is {} at {}, a scale must be positive", scale[i], i));
    return scale;
}

}  // namespace

void writeScaleDictionary(const std::string &path, const CalibrationStats &stats, const Transformer &model)
{
    std::vector<std::pair<std::string, Tensor>> tensors;
    for (const LinearSite &site : model.linearSites()) {
        const auto found = stats.sites.find(site.activationSite);
        if (found == stats.sites.end())
            continue;
        const Vector scale = found->second.lqerScale().cast<float>();
        tensors.emplace_back(site.name + ".scale",
            Tensor::fromVector(std::span<const float>(scale.data(), static_cast<std::size_t>(scale.size()))));
    }
    writeSafetensors(path, tensors, {{"format", "pt"}});
}

std::string importScaleDictionary(
    Project &project, const LoadedModel &model, const std::string &path, std::span<const LinearSite *const> layers)
{
    const SafetensorsFile file(path);
    CalibrationStats stats;
    stats.model = model.summary().fingerprint;
    stats.data = path;
    stats.options.autocorrelation = false;
    Hasher hasher;
    for (const LinearSite *const site : layers) {
        VectorF64 scale = readScale(file, *site);
        // Statistics are normalised when they are used; brought to a least value of 1, none is clamped then.
        scale /= scale.minCoeff();
        const auto [place, isNew] = stats.sites.try_emplace(site->activationSite);
        SiteStats &found = place->second;
        if (!isNew && found.maxMeanAbs != scale)
            throw Error(ErrorCode::Unsupported, path, fmt::format("tensor '{}.scale'", site->name),
                "differs from the scale of another layer with the same input");
        hasher.add(site->activationSite).add(std::as_bytes(std::span(scale.data(), static_cast<std::size_t>(scale.size()))));
        found.tokens = 1;
        found.sumSquares = VectorF64::Zero(site->in);
        found.maxMeanAbs = std::move(scale);
    }
    stats.dataHash = hasher.hex();

    const std::string key = stats.key();
    if (project.isCalibrationComplete(key))
        return key;
    project.beginCalibration(stats);
    std::vector<std::string> names;
    for (const auto &[name, site] : stats.sites) {
        project.storeSiteStats(key, name, site);
        names.push_back(name);
    }
    project.finishCalibration(key, names);
    project.save();
    return key;
}

std::string tensorFile(const std::string &path)
{
    namespace fs = std::filesystem;
    const std::string extension = fs::path(path).extension().string();
    const bool pickle = extension == ".pt" || extension == ".pth" || extension == ".pkl" || extension == ".bin";
    const std::string file = pickle ? fs::path(path).replace_extension(".safetensors").string() : path;
    std::error_code error;
    if (fs::exists(file, error))
        return file;
    if (pickle && fs::exists(path, error))
        throw Error(ErrorCode::Unsupported, path, {},
            fmt::format(
                "is a pickle, which can run programs when loaded: save its tensors as {} with safetensors.torch.save_file",
                fs::path(file).filename().string()));
    throw Error(ErrorCode::NotFound, path, {},
        pickle ? fmt::format("does not exist, nor does {}", fs::path(file).filename().string()) : "does not exist");
}

}  // namespace lqer
