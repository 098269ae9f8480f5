// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QDBusConnection>
#include <QDBusMessage>
#include <QObject>

#include <optional>

namespace lqer {

// Whether the desktop is dark, asked from and followed through the portal (org.freedesktop.portal.Settings, "color-scheme"), which the
// common desktops have. Qt 6.4 does not know it by itself. Nothing waits: without a portal dark() stays empty.
class SystemTheme final : public QObject {
    Q_OBJECT

public:
    explicit SystemTheme(const QDBusConnection &bus, QObject *parent = nullptr);
    std::optional<bool> dark() const { return m_dark; }

signals:
    void changed();

private slots:
    void settingChanged(const QDBusMessage &message);

private:
    void take(const QVariant &value);

    QDBusConnection m_bus;
    std::optional<bool> m_dark;
};

}  // namespace lqer
