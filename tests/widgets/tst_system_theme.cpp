// SPDX-License-Identifier: GPL-3.0-or-later
#include <QDBusConnection>
#include <QDBusMessage>
#include <QDBusVariant>
#include <QProcess>
#include <QSignalSpy>
#include <QStandardPaths>
#include <QTest>

#include "widgets/theme/system_theme.h"

using namespace lqer;

// What a desktop answers.
class FakePortal : public QObject {
    Q_OBJECT
    Q_CLASSINFO("D-Bus Interface", "org.freedesktop.portal.Settings")

public slots:
    QDBusVariant Read(const QString &space, const QString &key)
    {
        asked = space + QLatin1Char(' ') + key;
        return QDBusVariant(QVariant::fromValue(QDBusVariant(1U)));
    }

public:
    QString asked;
};

class TestSystemTheme : public QObject {
    Q_OBJECT

private slots:
    void theDesktopIsAskedAndFollowed();
    void withoutAPortalNothingIsKnown();

private:
    QProcess m_daemon;
    // Address of a bus of our own; "" if there is no dbus-daemon here.
    QString startBus();
};

QString TestSystemTheme::startBus()
{
    if (QStandardPaths::findExecutable(QStringLiteral("dbus-daemon")).isEmpty())
        return {};
    m_daemon.start(QStringLiteral("dbus-daemon"), {QStringLiteral("--session"), QStringLiteral("--nofork"), QStringLiteral("--print-address")});
    if (!m_daemon.waitForStarted() || !m_daemon.waitForReadyRead())
        return {};
    return QString::fromLocal8Bit(m_daemon.readLine()).trimmed();
}

void TestSystemTheme::theDesktopIsAskedAndFollowed()
{
    const QString address = startBus();
    if (address.isEmpty())
        QSKIP("no dbus-daemon here");
    QDBusConnection desktop = QDBusConnection::connectToBus(address, QStringLiteral("desktop"));
    FakePortal portal;
    QVERIFY(desktop.registerService(QStringLiteral("org.freedesktop.portal.Desktop")));
    const QString path = QStringLiteral("/org/freedesktop/portal/desktop");
    QVERIFY(desktop.registerObject(path, &portal, QDBusConnection::ExportAllSlots));

    SystemTheme theme(QDBusConnection::connectToBus(address, QStringLiteral("studio")));
    QVERIFY(QTest::qWaitFor([&] { return theme.dark() == std::optional(true); }));
    QCOMPARE(portal.asked, QStringLiteral("org.freedesktop.appearance color-scheme"));
    QSignalSpy changed(&theme, &SystemTheme::changed);
    // Said until it is heard: nothing tells when the bus has noted that somebody listens.
    const auto heard = [&](const QString &key, uint value, std::optional<bool> expected) {
        return QTest::qWaitFor([&] {
            QDBusMessage signal = QDBusMessage::createSignal(path, QStringLiteral("org.freedesktop.portal.Settings"), QStringLiteral("SettingChanged"));
            signal << QStringLiteral("org.freedesktop.appearance") << key << QVariant::fromValue(QDBusVariant(value));
            return desktop.send(signal) && theme.dark() == expected;
        });
    };
    QVERIFY(heard(QStringLiteral("contrast"), 2, true));  // something else
    QVERIFY(heard(QStringLiteral("color-scheme"), 2, false));
    QCOMPARE(changed.size(), 1);
    QVERIFY(heard(QStringLiteral("color-scheme"), 0, std::nullopt));
    QDBusConnection::disconnectFromBus(QStringLiteral("studio"));
    QDBusConnection::disconnectFromBus(QStringLiteral("desktop"));
    m_daemon.terminate();
    m_daemon.waitForFinished();
}

void TestSystemTheme::withoutAPortalNothingIsKnown()
{
    const SystemTheme theme(QDBusConnection::connectToBus(QStringLiteral("unix:path=/no/bus/here"), QStringLiteral("nowhere")));
    QVERIFY(!theme.dark().has_value());
}

QTEST_GUILESS_MAIN(TestSystemTheme)
#include "tst_system_theme.moc"
