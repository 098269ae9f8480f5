// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/export/exporter.h"

// The explicit list of targets: one file here, one declaration below and one line in list.cpp each.
namespace lqer {

Exporter mergedExporter();
Exporter peftExporter();
Exporter ggufExporter();
Exporter compressedTensorsExporter();
Exporter gptqExporter();
Exporter dictionaryExporter();
Exporter hdf5Exporter();
Exporter reportExporter();

}  // namespace lqer
