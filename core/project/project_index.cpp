// SPDX-License-Identifier: Apache-2.0
#include "core/project/project_index.h"

#include <fmt/format.h>

#include "core/base/error.h"

namespace lqer {

namespace {

constexpr std::int64_t largest = std::int64_t{1} << 40;  // no count or size in a project comes near

std::vector<double> toList(const VectorF64 &vector)
{
    return {vector.begin(), vector.end()};
}

VectorF64 toVector(const std::vector<double> &list)
{
    return VectorF64::Map(list.data(), static_cast<Index>(list.size()));
}

bool flag(const Hdf5Reader &reader, std::string_view name)
{
    return reader.integer(name, 0, 1) != 0;
}

// An energy: finite and not negative.
double energy(const Hdf5Reader &reader, std::string_view name)
{
    const double value = reader.number(name);
    if (value < 0)
        reader.fail(name, fmt::format("is {}, expected no negative number", value));
    return value;
}

// How many of sigma are computed, the others being estimates, of which there are all or none. Records of versions without estimates do not say.
Index exactCount(const Hdf5Reader &reader, std::string_view name, const VectorF64 &sigma, Index least, Index order)
{
    if (!reader.has(name))
        return sigma.size();
    const Index exact = reader.integer(name, least, sigma.size());
    if (exact < sigma.size() && sigma.size() != order)
        reader.fail(name, fmt::format("is {} of {} singular values, expected all of them or estimates up to {}", exact, sigma.size(), order));
    return exact;
}

Hdf5Group toHdf5(const ShardRecord &shard)
{
    Hdf5Group group;
    group.values["file"] = shard.file;
    group.values["size"] = static_cast<std::int64_t>(shard.size);
    group.values["hash"] = shard.hash;
    return group;
}

ShardRecord shardFromHdf5(const Hdf5Reader &reader)
{
    ShardRecord shard{reader.text("file"), static_cast<std::uint64_t>(reader.integer("size", 1, largest)), reader.text("hash")};
    if (!isShardName(shard.file))
        reader.fail("file", fmt::format("is '{}', which is no plain .safetensors file name", shard.file));
    return shard;
}

const Json &valueOf(const Json &json) { return json; }
const Json &valueOf(const std::shared_ptr<const Json> &json) { return *json; }

template <typename Value>
Hdf5Group jsonTexts(const std::map<std::string, Value> &values)
{
    // Names are free text, HDF5 names are not: each lies in a numbered group with its name beside it.
    Hdf5Group group;
    std::size_t number = 0;
    for (const auto &[name, json] : values) {
        Hdf5Group entry;
        entry.values["name"] = name;
        entry.values["json"] = valueOf(json).dump();
        group.groups[fmt::format("{:04}", ++number)] = std::move(entry);
    }
    return group;
}

std::map<std::string, Json> jsonFromTexts(const Hdf5Reader &reader, const std::string &file)
{
    std::map<std::string, Json> values;
    for (const std::string &number : reader.groupNames()) {
        const Hdf5Reader entry = reader.group(number);
        values[entry.text("name")] = parseJson(entry.text("json"), file + entry.path());
    }
    return values;
}

}  // namespace

Hdf5Group toHdf5(const DecompositionRecord &record)
{
    Hdf5Group group;
    auto &values = group.values;
    values["key"] = record.key.text();
    values["layer"] = record.key.layer;
    values["weight"] = record.key.weight;
    values["format"] = record.key.format.toString();
    values["scaling"] = std::string(toString(record.key.scaling));
    values["calibration"] = record.key.calibration;
    if (!record.key.base.empty())
        values["base"] = record.key.base;
    values["in"] = std::int64_t{record.in};
    values["out"] = std::int64_t{record.out};
    values["max_rank"] = std::int64_t{record.maxRank};
    values["spectrum_complete"] = std::int64_t{record.spectrum() == SpectrumExtent::Whole};
    values["sigma_exact"] = std::int64_t{record.sigmaExact};
    values["sigma_unscaled_exact"] = std::int64_t{record.sigmaUnscaledExact};
    values["output_known"] = std::int64_t{record.outputKnown};
    values["full_autocorrelation"] = std::int64_t{record.fullAutocorrelation};
    values["weight_energy"] = record.weightEnergy;
    values["weight_error"] = record.weightError;
    values["output_energy"] = record.outputEnergy;
    values["output_error"] = record.outputError;
    values["total_energy"] = record.totalEnergy;
    values["sigma"] = toList(record.sigma);
    values["sigma_unscaled"] = toList(record.sigmaUnscaled);
    values["weight_captured"] = toList(record.weightCaptured);
    values["output_captured"] = toList(record.outputCaptured);
    return group;
}

DecompositionRecord decompositionFromHdf5(const Hdf5Reader &reader)
{
    DecompositionRecord record;
    record.key.layer = reader.text("layer");
    record.key.weight = reader.text("weight");
    record.key.calibration = reader.text("calibration");
    if (reader.has("base"))
        record.key.base = reader.text("base");
    try {
        record.key.format = FormatSpec::parse(reader.text("format"));
        record.key.scaling = scalingFromString(reader.text("scaling"));
    } catch (const Error &error) {
        reader.fail("format", error.what());
    }
    record.in = reader.integer("in", 1, largest);
    record.out = reader.integer("out", 1, largest);
    const Index smaller = std::min(record.in, record.out);
    record.maxRank = reader.integer("max_rank", 0, smaller);
    record.outputKnown = flag(reader, "output_known");
    record.fullAutocorrelation = flag(reader, "full_autocorrelation");
    record.weightEnergy = energy(reader, "weight_energy");
    record.weightError = energy(reader, "weight_error");
    record.outputEnergy = energy(reader, "output_energy");
    record.outputError = energy(reader, "output_error");
    record.totalEnergy = energy(reader, "total_energy");
    const bool complete = flag(reader, "spectrum_complete");
    record.sigma = toVector(reader.numbers("sigma", complete ? smaller : Index{-1}));
    if (record.sigma.size() < record.maxRank || record.sigma.size() > smaller)
        reader.fail("sigma", fmt::format("has {} numbers, expected {} to {}", record.sigma.size(), record.maxRank, smaller));
    record.sigmaExact = exactCount(reader, "sigma_exact", record.sigma, complete ? smaller : record.maxRank, smaller);
    record.sigmaUnscaled = toVector(reader.numbers("sigma_unscaled"));
    record.sigmaUnscaledExact = exactCount(reader, "sigma_unscaled_exact", record.sigmaUnscaled, 0, smaller);
    record.weightCaptured = toVector(reader.numbers("weight_captured", record.maxRank));
    record.outputCaptured = toVector(reader.numbers("output_captured", record.outputKnown ? record.maxRank : 0));
    return record;
}

Hdf5Group provenanceToHdf5(const CalibrationStats &stats)
{
    Hdf5Group group;
    auto &values = group.values;
    values["model"] = stats.model;
    values["data"] = stats.data;
    values["data_hash"] = stats.dataHash;
    values["windows"] = stats.windows;
    values["window_length"] = stats.windowLength;
    values["batch"] = stats.options.batch;
    values["autocorrelation"] = std::int64_t{stats.options.autocorrelation};
    if (stats.options.precision != Precision::Float32)
        values["precision"] = std::string(toString(stats.options.precision));
    return group;
}

CalibrationStats provenanceFromHdf5(const Hdf5Reader &reader)
{
    CalibrationStats stats;
    stats.model = reader.text("model");
    stats.data = reader.text("data");
    stats.dataHash = reader.text("data_hash");
    stats.windows = reader.integer("windows", 0, largest);
    stats.windowLength = reader.integer("window_length", 0, largest);
    stats.options.batch = reader.integer("batch", 1, largest);
    stats.options.autocorrelation = flag(reader, "autocorrelation");
    if (reader.has("precision")) {
        try {
            stats.options.precision = precisionFromString(reader.text("precision"));
        } catch (const Error &error) {
            reader.fail("precision", error.what());
        }
    }
    return stats;
}

Hdf5Group siteToHdf5(const SiteStats &stats, bool autocorrelation)
{
    Hdf5Group group;
    group.values["features"] = std::int64_t{stats.features()};
    group.values["tokens"] = stats.tokens;
    group.values["has_autocorrelation"] = std::int64_t{autocorrelation};
    group.values["max_mean_abs"] = toList(stats.maxMeanAbs);
    group.values["sum_squares"] = toList(stats.sumSquares);
    group.values["max_abs"] = toList(stats.maxAbs);
    return group;
}

StoredSite siteFromHdf5(const Hdf5Reader &reader)
{
    StoredSite site;
    const std::int64_t features = reader.integer("features", 1, largest);
    site.stats.tokens = reader.integer("tokens", 1, largest);
    site.autocorrelation = flag(reader, "has_autocorrelation");
    // Imported statistics have no magnitudes.
    const auto magnitudes = [&](std::string_view name) {
        return toVector(reader.numbers(name).empty() ? reader.numbers(name) : reader.numbers(name, features));
    };
    site.stats.maxMeanAbs = magnitudes("max_mean_abs");
    site.stats.sumSquares = toVector(reader.numbers("sum_squares", features));
    site.stats.maxAbs = magnitudes("max_abs");
    return site;
}

Hdf5Group toHdf5(const ProjectIndex &index)
{
    Hdf5Group root;
    root.values["created"] = index.created;
    root.values["settings"] = index.settings.dump();

    Hdf5Group &checkpoint = root.groups["checkpoint"];
    checkpoint.values["folder"] = index.checkpoint.folder;
    checkpoint.values["relative"] = index.checkpoint.relative;
    checkpoint.values["fingerprint"] = index.checkpoint.fingerprint;
    checkpoint.values["architecture"] = index.checkpoint.architecture;

    Hdf5Group &calibrations = root.groups["calibrations"];
    for (const auto &[key, calibration] : index.calibrations) {
        Hdf5Group &group = calibrations.groups[key];
        group = provenanceToHdf5(calibration.provenance);
        group.values["order"] = calibration.order;
        group.values["complete"] = std::int64_t{calibration.complete};
        Hdf5Group &sites = group.groups["sites"];
        for (const auto &[name, site] : calibration.sites) {
            Hdf5Group &entry = sites.groups[name];
            entry = siteToHdf5(site.stats, site.autocorrelation);
            entry.groups["shard"] = toHdf5(site.shard);
        }
    }

    Hdf5Group &decompositions = root.groups["decompositions"];
    for (const auto &[key, decomposition] : index.decompositions) {
        Hdf5Group &group = decompositions.groups[key];
        group = toHdf5(*decomposition.record);
        group.groups["shard"] = toHdf5(decomposition.shard);
    }

    root.groups["recipes"] = jsonTexts(index.recipes);
    root.groups["reports"] = jsonTexts(index.reports);
    return root;
}

ProjectIndex indexFromHdf5(const Hdf5Group &root, const std::string &file)
{
    const Hdf5Reader reader(root, file);
    ProjectIndex index;
    index.created = reader.text("created");
    index.settings = parseJson(reader.text("settings"), file + "/settings");

    const Hdf5Reader checkpoint = reader.group("checkpoint");
    index.checkpoint = {checkpoint.text("folder"), checkpoint.text("relative"), checkpoint.text("fingerprint"),
                        checkpoint.text("architecture")};

    const Hdf5Reader calibrations = reader.group("calibrations");
    for (const std::string &key : calibrations.groupNames()) {
        const Hdf5Reader group = calibrations.group(key);
        StoredCalibration calibration;
        calibration.provenance = provenanceFromHdf5(group);
        calibration.order = group.integer("order", 0, largest);
        calibration.complete = flag(group, "complete");
        const Hdf5Reader sites = group.group("sites");
        for (const std::string &name : sites.groupNames()) {
            const Hdf5Reader entry = sites.group(name);
            StoredSite site = siteFromHdf5(entry);
            site.shard = shardFromHdf5(entry.group("shard"));
            calibration.sites.emplace(name, std::move(site));
        }
        index.calibrations.emplace(key, std::move(calibration));
    }

    const Hdf5Reader decompositions = reader.group("decompositions");
    for (const std::string &key : decompositions.groupNames()) {
        const Hdf5Reader group = decompositions.group(key);
        auto record = std::make_shared<DecompositionRecord>(decompositionFromHdf5(group));
        if (record->key.text() != key)
            continue;  // made by an algorithm of another version: its shard is not taken up either
        index.decompositions.emplace(key, StoredDecomposition{record, shardFromHdf5(group.group("shard"))});
    }

    index.recipes = jsonFromTexts(reader.group("recipes"), file);
    for (auto &[id, json] : jsonFromTexts(reader.group("reports"), file))
        index.reports.emplace(id, std::make_shared<const Json>(std::move(json)));
    return index;
}

}  // namespace lqer
