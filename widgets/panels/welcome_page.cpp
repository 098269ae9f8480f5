// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/panels/welcome_page.h"

#include <QFileInfo>
#include <QGridLayout>
#include <QHBoxLayout>
#include <QLabel>
#include <QListWidget>
#include <QPushButton>
#include <QVBoxLayout>

#include "widgets/text/number_text.h"

namespace lqer {

WelcomePage::WelcomePage(QWidget *parent)
    : QWidget(parent), m_open(new QPushButton(tr("&Open a checkpoint or project..."), this)), m_demo(new QPushButton(tr("Try the &demo"), this)),
      m_status(new QLabel(this)), m_recentTitle(new QLabel(tr("Recent"), this)), m_recent(new QListWidget(this))
{
    auto *outer = new QVBoxLayout(this);
    outer->addStretch(1);
    auto *row = new QHBoxLayout;
    outer->addLayout(row);
    outer->addStretch(2);
    row->addStretch(1);
    auto *column = new QVBoxLayout;
    row->addLayout(column);
    row->addStretch(1);
    column->setSpacing(10);

    auto *title = new QLabel(tr("LQER Studio"), this);
    QFont big = title->font();
    big.setPointSizeF(big.pointSizeF() * 2);
    big.setBold(true);
    title->setFont(big);
    auto *about = new QLabel(tr("Quantize a language model, see what every layer loses,\nand win it back with a small low-rank correction."), this);
    column->addWidget(title);
    column->addWidget(about);
    auto *buttons = new QHBoxLayout;
    buttons->addWidget(m_open);
    buttons->addWidget(m_demo);
    buttons->addStretch(1);
    column->addLayout(buttons);
    m_demo->setToolTip(tr("A small trained model that comes with the program, with texts to calibrate and evaluate on."));
    m_open->setToolTip(tr("A Hugging Face folder with config.json and safetensors, or a project folder (.lqer)."));
    auto *drop = new QLabel(tr("You can also drop a folder onto this window."), this);
    column->addWidget(drop);
    auto *way = new QGridLayout;
    way->setVerticalSpacing(2);
    const std::pair<QString, QString> steps[] = {{tr("Calibrate"), tr("one pass over a text: how large is what each layer reads?")},
                                                 {tr("Decompose"), tr("what does quantization lose in each layer, and what would rank win back?")},
                                                 {tr("Evaluate"), tr("perplexity and agreement with the original model")},
                                                 {tr("Export"), tr("for the engines that run it")}};
    for (int place = 0; const auto &[step, meaning] : steps) {
        way->addWidget(new QLabel(tr("%1  %2").arg(place + 1).arg(step), this), place, 0);
        way->addWidget(new QLabel(meaning, this), place++, 1);
    }
    way->setColumnMinimumWidth(0, 110);
    way->setColumnStretch(1, 1);
    column->addSpacing(6);
    column->addLayout(way);
    column->addSpacing(6);
    m_status->setTextFormat(Qt::PlainText);
    m_status->setWordWrap(true);
    m_status->setMinimumWidth(520);
    column->addWidget(m_status);
    column->addWidget(m_recentTitle);
    m_recent->setAccessibleName(tr("Recent checkpoints and projects"));
    m_recent->setMaximumHeight(220);
    m_recent->setAlternatingRowColors(true);
    column->addWidget(m_recent);
    connect(m_open, &QPushButton::clicked, this, &WelcomePage::openRequested);
    connect(m_demo, &QPushButton::clicked, this, &WelcomePage::demoRequested);
    const auto choose = [this](const QListWidgetItem *item) { emit recentRequested(item->data(Qt::UserRole).toString()); };
    connect(m_recent, &QListWidget::itemActivated, this, choose);
    connect(m_recent, &QListWidget::itemClicked, this, choose);
    setRecent({});
}

void WelcomePage::setRecent(const QStringList &folders)
{
    m_recent->clear();
    for (const QString &folder : folders) {
        auto *item = new QListWidgetItem(tr("%1   \u2013   %2").arg(QFileInfo(folder).fileName(), folder), m_recent);
        item->setData(Qt::UserRole, folder);
        item->setToolTip(plainHtml(folder));
    }
    m_recent->setVisible(!folders.isEmpty());
    m_recentTitle->setVisible(!folders.isEmpty());
}

void WelcomePage::setDemoAvailable(bool available)
{
    m_demo->setVisible(available);
}

void WelcomePage::setStatus(const QString &text)
{
    m_status->setText(text);
}

}  // namespace lqer
