// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/controls/rank_control.h"

#include <QHBoxLayout>
#include <QKeyEvent>
#include <QSignalBlocker>
#include <QSlider>
#include <QSpinBox>

#include <cmath>

#include "widgets/text/glossary.h"

namespace lqer {

namespace {

constexpr int sliderSteps = 1000;

}  // namespace

RankControl::RankControl(QWidget *parent) : QWidget(parent), m_slider(new QSlider(Qt::Horizontal, this)), m_number(new QSpinBox(this))
{
    auto *layout = new QHBoxLayout(this);
    layout->setContentsMargins(0, 0, 0, 0);
    layout->addWidget(m_slider, 1);
    layout->addWidget(m_number);
    m_slider->setRange(0, sliderSteps);
    m_slider->setAccessibleName(tr("Rank slider"));
    m_number->setAccessibleName(tr("Rank"));
    m_slider->setToolTip(meaningOf(Term::Rank));
    m_number->setToolTip(meaningOf(Term::Rank));
    m_number->setKeyboardTracking(false);
    setFocusProxy(m_slider);  // the first of the two: Tab goes on to the number

    m_number->installEventFilter(this);
    connect(m_slider, &QSlider::valueChanged, this, [this](int position) {
        const int rank = fromSlider(position);
        {
            const QSignalBlocker blocker(m_number);
            m_number->setValue(rank);
        }
        emit rankMoved(rank);
        if (!m_slider->isSliderDown())
            emit rankChosen(rank);
    });
    connect(m_slider, &QSlider::sliderReleased, this, [this] { emit rankChosen(m_number->value()); });
    connect(m_number, &QSpinBox::valueChanged, this, [this](int rank) {
        {
            const QSignalBlocker blocker(m_slider);
            m_slider->setValue(toSlider(rank));
        }
        emit rankMoved(rank);
        emit rankChosen(rank);
    });
    setMaximum(0);
}

bool RankControl::eventFilter(QObject *watched, QEvent *event)
{
    // Undo means the recipe here, not the digits that were typed.
    if (event->type() == QEvent::ShortcutOverride) {
        auto *key = static_cast<QKeyEvent *>(event);
        if (key->matches(QKeySequence::Undo) || key->matches(QKeySequence::Redo)) {
            event->ignore();
            return true;
        }
    }
    return QWidget::eventFilter(watched, event);
}

int RankControl::rank() const
{
    return m_number->value();
}

void RankControl::setRank(int rank)
{
    const QSignalBlocker numberBlocker(m_number);
    const QSignalBlocker sliderBlocker(m_slider);
    m_number->setValue(rank);
    m_slider->setValue(toSlider(m_number->value()));
}

void RankControl::setMaximum(int maximum)
{
    const QSignalBlocker numberBlocker(m_number);
    const QSignalBlocker sliderBlocker(m_slider);
    m_maximum = maximum;
    m_number->setRange(0, maximum);
    m_slider->setValue(toSlider(m_number->value()));
    setEnabled(maximum > 0);
}

int RankControl::toSlider(int rank) const
{
    return m_maximum > 0 ? static_cast<int>(std::lround(std::sqrt(static_cast<double>(rank) / m_maximum) * sliderSteps)) : 0;
}

int RankControl::fromSlider(int position) const
{
    const double share = static_cast<double>(position) / sliderSteps;
    return static_cast<int>(std::lround(share * share * m_maximum));
}

}  // namespace lqer
