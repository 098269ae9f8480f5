// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/panels/weights_panel.h"

#include <QGridLayout>
#include <QLabel>

#include "core/eval/quantized_forward.h"
#include "core/linalg/gemm.h"
#include "core/quant/quantizer.h"
#include "widgets/session/session.h"
#include "widgets/text/number_text.h"

namespace lqer {

WeightsPanel::WeightsPanel(Session &session, QWidget *parent)
    : QWidget(parent), m_session(session), m_summary(new QLabel(this)), m_weight(new MatrixPlot(this)), m_error(new MatrixPlot(this)),
      m_left(new MatrixPlot(this)), m_histogram(new HistogramPlot(this))
{
    auto *layout = new QGridLayout(this);
    layout->setContentsMargins(6, 6, 6, 6);
    layout->setSpacing(4);
    m_summary->setTextFormat(Qt::PlainText);
    m_summary->setWordWrap(true);
    layout->addWidget(m_summary, 0, 0, 1, 2);
    layout->addWidget(m_weight, 1, 0);
    layout->addWidget(m_error, 1, 1);
    layout->addWidget(m_left, 2, 0);
    layout->addWidget(m_histogram, 2, 1);
    layout->setRowStretch(1, 1);
    layout->setRowStretch(2, 1);
    layout->setColumnStretch(0, 1);
    layout->setColumnStretch(1, 1);
    for (const auto changed : {&Session::selectionChanged, &Session::tableChanged, &Session::closed})
        connect(&m_session, changed, this, &WeightsPanel::refresh);
}

void WeightsPanel::showEvent(QShowEvent *event)
{
    QWidget::showEvent(event);
    refresh();
}

void WeightsPanel::refresh()
{
    const LayerRow *row = m_session.currentRow();
    if (!row) {
        m_shownKey.clear();
        m_summary->clear();
        clear(m_session.isOpen() ? tr("Select a layer in the map or the list") : QString());
        return;
    }
    if (!isVisible())
        return;
    const QString key = QStringLiteral("%1|%2|%3|%4|%5").arg(QString::fromStdString(row->site.name), QString::fromStdString(row->plan.formats.weight.toString()),
                                                        QString::fromStdString(std::string(toString(row->plan.scaling))))
                            .arg(row->plan.quantize ? row->plan.rank : -1)
                            .arg(row->ready);
    if (key == m_shownKey)
        return;
    m_shownKey = key;
    if (!m_hasPictures)
        clear(tr("Reading..."));
    const auto engine = &m_session.engine();
    m_session.jobs().start(JobLane::Interactive, QStringLiteral("weights"), tr("Reading %1").arg(safeText(row->site.name)),
                           [this, engine, model = m_session.model(), project = m_session.project(), site = row->site, plan = row->plan, ready = row->ready,
                            calibration = m_session.calibration().toStdString()](const TaskContext &context) -> JobBridge::Delivery {
                               auto pictures = std::make_shared<Pictures>();
                               const Matrix weight = model->transformer().readWeight(site, context);
                               pictures->weight = pictureOf(weight);
                               context.checkStop();
                               Matrix error = Matrix::Zero(weight.rows(), weight.cols());
                               if (plan.quantize)
                                   error = weight - quantizeWeight(*makeQuantizer(plan.formats.weight), weight, site.weightTensor, context);
                               pictures->error = pictureOf(error);
                               context.checkStop();
                               if (plan.quantize && ready && plan.rank > 0) {
                                   const auto correction = engine->correction(*model, *project, site.name, plan, calibration);
                                   Matrix product(correction->a.rows(), correction->b.cols());
                                   multiply(correction->a, correction->b, product, context);
                                   error -= product.transpose();
                                   pictures->left = pictureOf(error);
                               }
                               return [this, pictures] { show(*pictures); };
                           });
}

void WeightsPanel::clear(const QString &message)
{
    m_hasPictures = false;
    for (MatrixPlot *plot : {m_weight, m_error, m_left})
        plot->clear(message);
    m_histogram->setSeries({});
    m_histogram->setMessage(message);
}

void WeightsPanel::show(const Pictures &pictures)
{
    m_hasPictures = true;
    m_histogram->setMessage({});
    m_weight->setPicture(pictures.weight, tr("weight W"));
    // The error and what is left of it share a colour scale, so that they compare.
    const double high = pictures.error.cells.size() > 0 ? pictures.error.cells.maxCoeff() : 0;
    m_error->setPicture(pictures.error, tr("error W \u2212 W_q"), high);
    std::vector<HistogramPlot::Series> series{{tr("weight"), pictures.weight}, {tr("error"), pictures.error}};
    if (pictures.left) {
        m_left->setPicture(*pictures.left, tr("left after A\u00b7B"), high);
        series.push_back({tr("left after A\u00b7B"), *pictures.left});
    } else {
        m_left->clear(tr("No correction yet"));
    }
    m_histogram->setSeries(std::move(series));
    QString text = tr("Root mean square: weight %1, error %2").arg(numberText(pictures.weight.rootMeanSquare), numberText(pictures.error.rootMeanSquare));
    if (pictures.left)
        text += tr(", left after the correction %1").arg(numberText(pictures.left->rootMeanSquare));
    m_summary->setText(text);
}

}  // namespace lqer
