// SPDX-License-Identifier: Apache-2.0
#include "core/eval/report_fields.h"

#include <limits>

#include "core/base/error.h"

namespace lqer {

Json windowOptionsToJson(const WindowOptions &options)
{
    Json json = Json::object();
    json.set("convention", toString(options.convention));
    json.set("length", options.length);
    json.set("stride", options.stride);
    json.set("shards", options.shards);
    json.set("max_windows", options.maxWindows);
    json.set("batch", options.batch);
    json.set("max_rows", options.maxRows);
    return json;
}

WindowOptions windowOptionsFromJson(const JsonReader &json)
{
    WindowOptions options;
    try {
        options.convention = windowConventionFromString(json["convention"].string());
    } catch (const Error &error) {
        if (error.code() != ErrorCode::Argument)
            throw;
        json["convention"].fail(error.what());
    }
    options.length = readCount(json, "length");
    options.stride = readCount(json, "stride");
    options.shards = readCount(json, "shards");
    options.maxWindows = readCount(json, "max_windows");
    options.batch = readCount(json, "batch");
    options.maxRows = json.integer("max_rows", 0, std::numeric_limits<std::int64_t>::max(), 0);  // reports from before there were any
    return options;
}

Json meanToJson(const MeanWithError &mean)
{
    return Json::object().set("mean", mean.mean).set("standard_error", mean.standardError);
}

MeanWithError meanFromJson(const JsonReader &json)
{
    return {readNumber(json, "mean"), readNumber(json, "standard_error")};
}

double readNumber(const JsonReader &json, std::string_view key)
{
    const JsonReader member = json[key];
    return member.value().isNull() ? std::numeric_limits<double>::infinity() : member.number();
}

std::int64_t readCount(const JsonReader &json, std::string_view key)
{
    return json[key].integer(0, std::numeric_limits<std::int64_t>::max());
}

}  // namespace lqer
