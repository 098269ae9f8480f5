// SPDX-License-Identifier: Apache-2.0
#include "core/model/sites.h"

#include "core/base/check.h"

namespace lqer {

std::string_view toString(LinearRole role)
{
    switch (role) {
    case LinearRole::Query: return "q";
    case LinearRole::Key: return "k";
    case LinearRole::Value: return "v";
    case LinearRole::Output: return "o";
    case LinearRole::Gate: return "gate";
    case LinearRole::Up: return "up";
    case LinearRole::Down: return "down";
    case LinearRole::FusedQkv: return "qkv";
    case LinearRole::Fc1: return "fc1";
    case LinearRole::Fc2: return "fc2";
    case LinearRole::ProjectIn: return "project_in";
    case LinearRole::ProjectOut: return "project_out";
    }
    failedCheck("known role", __FILE__, __LINE__);
}

}  // namespace lqer
