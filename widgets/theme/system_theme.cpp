// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/theme/system_theme.h"

#include <QDBusPendingCallWatcher>
#include <QDBusPendingReply>
#include <QDBusVariant>

namespace lqer {

namespace {

const QString service = QStringLiteral("org.freedesktop.portal.Desktop");
const QString object = QStringLiteral("/org/freedesktop/portal/desktop");
const QString interface = QStringLiteral("org.freedesktop.portal.Settings");
const QString space = QStringLiteral("org.freedesktop.appearance");
const QString scheme = QStringLiteral("color-scheme");

}  // namespace

SystemTheme::SystemTheme(const QDBusConnection &bus, QObject *parent) : QObject(parent), m_bus(bus)
{
    if (!m_bus.isConnected())
        return;
    m_bus.connect(service, object, interface, QStringLiteral("SettingChanged"), this, SLOT(settingChanged(QDBusMessage)));
    QDBusMessage question = QDBusMessage::createMethodCall(service, object, interface, QStringLiteral("Read"));
    question << space << scheme;
    auto *watcher = new QDBusPendingCallWatcher(m_bus.asyncCall(question), this);
    connect(watcher, &QDBusPendingCallWatcher::finished, this, [this](QDBusPendingCallWatcher *ended) {
        if (const QDBusPendingReply<QDBusVariant> reply = *ended; !reply.isError())
            take(reply.value().variant());
        ended->deleteLater();
    });
}

void SystemTheme::settingChanged(const QDBusMessage &message)
{
    const QVariantList said = message.arguments();  // name space, key, value
    if (said.size() == 3 && said[0].toString() == space && said[1].toString() == scheme)
        take(said[2]);
}

void SystemTheme::take(const QVariant &value)
{
    // A variant in a variant, as Read answers, is unwrapped as often as it takes. 0: no preference, 1: dark, 2: light.
    QVariant inner = value;
    while (inner.metaType() == QMetaType::fromType<QDBusVariant>())
        inner = inner.value<QDBusVariant>().variant();
    const uint found = inner.toUInt();
    const std::optional<bool> dark = found == 1 ? std::optional(true) : found == 2 ? std::optional(false) : std::nullopt;
    if (dark == m_dark)
        return;
    m_dark = dark;
    emit changed();
}

}  // namespace lqer
