// SPDX-License-Identifier: Apache-2.0
#include "core/export/targets/list.h"

namespace lqer {

const std::vector<Exporter> &exporters()
{
    static const std::vector<Exporter> list = {
        mergedExporter(),
        peftExporter(),
        ggufExporter(),
        compressedTensorsExporter(),
        gptqExporter(),
        dictionaryExporter(),
        hdf5Exporter(),
        reportExporter(),
    };
    return list;
}

}  // namespace lqer
