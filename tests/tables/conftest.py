"""A compression table with something in every field."""

import pytest

from scpress.tables import compression as table

SCORES = {
    "deviance_explained": 0.4,
    "gene_correlation": 0.3,
    "cell_correlation": 0.8,
    "neighbor_recall": 0.5,
    "ari_label": None,
}


@pytest.fixture
def full_compression():
    cost = {"precision": "float32", "n_latent": 3, "total_bytes": 90, "bytes_per_cell": 0.9}
    code = table.Code(code=table.PCA, **cost, **SCORES)
    precision = table.Precision(
        code="model",
        latent_bytes=40,
        latent_bytes_per_cell=0.4,
        nll=9.0,
        nll_held_out=None,
        neighbor_recall_float32=1.0,
        ari_float32=1.0,
        ari_other_seed=0.9,
        **cost,
        **SCORES,
    )
    return table.Compression(
        model="m",
        preset="scvi",
        seed=0,
        n_cells=100,
        n_scored_cells=50,
        n_genes=20,
        n_all_genes=30,
        n_latent=3,
        nominal=table.Nominal(dense_bytes=8000, latent_bytes=1200, ratio=6.7),
        stored=table.Stored(
            counts_bytes=500,
            counts_bytes_per_cell=5.0,
            all_genes_bytes_per_cell=9.0,
            latent_bytes=40,
            latent_bytes_per_cell=0.4,
            ratio=12.5,
        ),
        with_decoder=table.WithDecoder(
            latent_bytes=40,
            decoder_bytes=30,
            gene_bytes=15,
            library_bytes=5,
            total_bytes=90,
            bytes_per_cell=0.9,
            ratio=5.6,
            break_even_cells=11,
        ),
        tensors={"decoder": {"eta.weight": 28}},
        precision=(precision,),
        distortion=table.Scores(**SCORES),
        rivals=(code,),
        same_bytes_rank=None,
        curve=(code, code),
        held_out=table.HeldOutCodes(
            n_coded_cells=100,
            n_cells=10,
            n_molecules=77,
            digest="abc",
            codes=(
                table.LossyCode(
                    code=table.NMF,
                    n_latent=3,
                    precision="int4",
                    weights_precision="int8",
                    shared_bytes=300,
                    cell_bytes=2.5,
                    bytes_per_cell=5.5,
                    unseen_deviance_explained=-0.1,
                ),
            ),
        ),
    )
