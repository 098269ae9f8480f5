// SPDX-License-Identifier: Apache-2.0
#include "core/engine/text_file.h"

#include "core/io/atomic_file.h"

namespace lqer {

void saveTextFile(const std::string &path, std::string_view text)
{
    writeFileAtomically(path, text);
}

}  // namespace lqer
