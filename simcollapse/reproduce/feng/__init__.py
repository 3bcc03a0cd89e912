"""[Feng24]: training on synthetic labels that a verifier accepted works below a breakdown point (arXiv 2406.07515v2).

breakdown   accuracy against the generator's error rate, and the proxy p* against performance (Fig. 2)
scaling     error against the number of selected rows (Fig. 3)
window      how sharp the transition is: curves for many sizes collapse onto one
readings    four readings of "generator and verifier": which give a step, which a slope
rounds      retraining chains: p, phi, psi, p* and accuracy from round to round
"""
